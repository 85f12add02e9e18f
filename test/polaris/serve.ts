import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

/** An HTTP answer. Beyond 2048 bytes it goes out in chunks, like those of a Go server. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** An HTTP server on loopback. */
export interface Listening {
  /** `http://127.0.0.1:<port>` */
  readonly address: string;
  /** Close all connections, whatever goes on in them. */
  stop(): Promise<void>;
}

/** Send an answer whole. */
export function send(response: ServerResponse, { status, headers, body }: Answer): void {
  const bytes = Buffer.from(body);
  response.writeHead(status, bytes.length > 2048 ? headers : { ...headers, "Content-Length": bytes.length });
  response.write(bytes.subarray(0, 2048));
  response.end(bytes.subarray(2048));
}

/** Listen on `port`, by default a free one, and hand every request on with its body read. */
export async function listen(
  handle: (request: IncomingMessage, body: string, response: ServerResponse) => Promise<void> | void,
  port = 0,
): Promise<Listening> {
  const server = createServer({ keepAliveTimeout: 60_000 }, async (request, response) => {
    try {
      await handle(request, await text(request), response);
    } catch (error) {
      response.destroy(error instanceof Error ? error : undefined);
    }
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      if (!server.listening) return;
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
