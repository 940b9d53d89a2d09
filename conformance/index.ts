/**
 * The conformance kit: cases that hold any implementation of docs/PROTOCOL.md against it, over a real socket and with no knowledge of its insides.
 *
 *   target   server-target.ts  a node; the kit connects to it
 *            client-target.ts  a program that connects; the kit listens
 *   trial    case.ts           what one case may use of it: sockets, wires, lines
 *   socket → wire → line       a WebSocket, the Noise channel and its messages, a greeted connection with logs to read and to offer
 *   world    world.ts          what the implementation should hold
 *   cases/   one file for each chapter of the protocol
 */
export { ServerTarget } from './server-target.ts';
export { ClientTarget } from './client-target.ts';
export { casesOf, runCases, type Outcome, type Result, type Target } from './run.ts';
export { CASES } from './cases/index.ts';
export type { Side } from './case.ts';
export { formatJunit } from './junit.ts';
