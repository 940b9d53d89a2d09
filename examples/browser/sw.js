// Keeps the pages and the library, so that they load without a network. The newest is taken where there is one.
self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET' || new URL(request.url).origin !== self.location.origin) return;
  event.respondWith(
    (async () => {
      const cache = await caches.open('tidelog-examples');
      try {
        const response = await fetch(request);
        if (response.ok) await cache.put(request, response.clone());
        return response;
      } catch (error) {
        const kept = await cache.match(request);
        if (kept) return kept;
        throw error;
      }
    })(),
  );
});
self.addEventListener('install', (event) =>
  // What the page loaded before this worker was there.
  event.waitUntil(
    Promise.all([
      self.skipWaiting(),
      caches.open('tidelog-examples').then((cache) => cache.addAll(['./todo.html', './notes.html', './tidelog.js'])),
    ]),
  ),
);
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
