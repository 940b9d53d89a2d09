/** A TCP proxy that counts. For bytes only: what is timed does not go through it. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export class CountingProxy {
  /** Both directions: with TLS's place empty, all that the two sides said, the HTTP upgrade and WebSocket's framing too. */
  bytes = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #target: URL;

  private constructor(url: string) {
    this.#target = new URL(url);
    this.#server = createServer((socket) => {
      const upstream = connect(Number(this.#target.port), this.#target.hostname);
      this.#carry(socket, upstream);
      this.#carry(upstream, socket);
    });
  }

  static async to(url: string): Promise<CountingProxy> {
    const proxy = new CountingProxy(url);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  #carry(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.on('data', (data) => (this.bytes += data.length));
    from.on('error', () => to.destroy());
    from.on('close', () => this.#sockets.delete(from));
    from.pipe(to);
  }

  /** A pairing link that leads through here: its first address is tried first. */
  through(link: string): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}/${link.slice(link.indexOf('#'))}`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
