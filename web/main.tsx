/** Where the page begins: by a link from the command line, by a pairing link that a camera opened, or with the session that it has. */
import { render } from 'preact';

import { arrivalOf, type Arrival } from './arrival.ts';
import { Root } from './root.tsx';

function takeArrival(): Arrival | null {
  const { hash, origin, pathname } = window.location;
  const arrival = arrivalOf(origin, hash);
  // Neither secret stays in the address bar or in the history.
  if (arrival !== null) history.replaceState(null, '', pathname);
  return arrival;
}

function show(arrival: Arrival | null): void {
  render(<Root arrival={arrival} />, document.querySelector('#app')!);
}

// A link that is pasted into a tab of the page loads nothing anew. Before any view listens, so that none sees a secret.
window.addEventListener('hashchange', () => {
  const arrival = takeArrival();
  if (arrival !== null) show(arrival);
});
show(takeArrival());
