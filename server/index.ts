/** A node inside another program, and its parts. `import { openLmdbStore, startNode } from 'tidelog/server';` */
export { initDataDir, openDataDir, readDataDir, type DataDir, type InitOptions, type OpenDataDir } from './data-dir.ts';
export { initDevice, type DeviceOfFolder } from './device.ts';
export type { ApiContext } from './http/context.ts';
export type { ApiRequest, ApiResponse } from './http/message.ts';
export { createHandler, type Handle } from './http/router.ts';
export { openLmdbStore } from './lmdb-store.ts';
export { createLog, silentLog, type LogFormat, type LogSink } from './log.ts';
export { startNode, type NodeOptions, type StartedNode } from './node.ts';
