// Imports go one way: web → client → protocol and server → client → protocol; server → conformance → protocol.
/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      comment: 'A cycle has no first file to read, also one that is made of types alone.',
      from: {},
      to: { circular: true },
    },
    {
      name: 'protocol-is-pure',
      severity: 'error',
      comment: 'What third parties must do the same depends on nothing of ours.',
      from: { path: '^protocol/' },
      to: { path: '^(client|server|conformance|web|bench|test)/' },
    },
    {
      name: 'protocol-has-no-platform',
      severity: 'error',
      comment: 'It runs in a browser.',
      from: { path: '^protocol/' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'protocol-libraries',
      severity: 'error',
      comment: 'MessagePack is all that it needs.',
      from: { path: '^protocol/' },
      to: { dependencyTypes: ['npm', 'npm-dev', 'npm-optional'], pathNot: 'node_modules/@msgpack/msgpack/' },
    },
    {
      name: 'client-knows-no-server',
      severity: 'error',
      from: { path: '^client/' },
      to: { path: '^(server|conformance|web|bench|test)/' },
    },
    {
      name: 'client-has-a-platform-folder',
      severity: 'error',
      comment: 'Node is spoken to in client/platform only, so that the rest runs in a browser.',
      from: { path: '^client/', pathNot: '^client/platform/' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'replica-rests-on-the-store',
      severity: 'error',
      comment: 'The log engine knows spaces, connections and peers no more than a store does.',
      from: { path: '^client/replica/' },
      to: { path: '^client/', pathNot: '^client/(replica/|store\\.ts$|tables\\.ts$|signal\\.ts$)' },
    },
    {
      name: 'conformance-knows-no-insides',
      severity: 'error',
      comment: 'It judges what comes over a socket. Of ours it uses the protocol, and the primitives of Node.',
      from: { path: '^conformance/' },
      to: { path: '^(client/(?!platform/)|server|web|bench|test)/' },
    },
    { name: 'server-knows-no-web', severity: 'error', from: { path: '^server/' }, to: { path: '^(web|bench|test)/' } },
    {
      name: 'web-uses-client-only',
      severity: 'error',
      from: { path: '^web/' },
      to: { path: '^(server|protocol|bench|test)/' },
    },
    {
      name: 'lmdb-in-one-file',
      severity: 'error',
      comment: 'The store is a seam.',
      from: { pathNot: '^(server/lmdb-store\\.ts$|bench/|test/)' },
      to: { path: 'node_modules/lmdb/' },
    },
    {
      name: 'uws-in-one-file',
      severity: 'error',
      comment: 'So that the official package drops in.',
      from: { pathNot: '^server/http-server\\.ts$' },
      to: { path: 'node_modules/uWebSockets\\.js/' },
    },
    {
      name: 'not-to-dev-dep',
      severity: 'error',
      comment: 'What the page is built of is in what was built.',
      from: { path: '^(protocol|client|server|conformance|bin)/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'], pathNot: 'node_modules/@types/' },
    },
    { name: 'not-to-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    // Installed apart, or not at all: what they import isn't there in a fresh clone.
    exclude: { path: '^bench/peers/|^examples/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
      extensions: ['.ts', '.tsx', '.js', '.mjs', '.cjs', '.json'],
    },
  },
};
