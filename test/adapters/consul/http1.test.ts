import assert from "node:assert/strict";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { http1 } from "../../../adapters/consul/client/http1.ts";

test("a request that is given up in mid-answer rejects with the reason, whatever that is", async (t) => {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n["));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (const reason of [new DOMException("late", "TimeoutError"), new Error("stop"), "stop"]) {
    const transport = http1({ origin }, {}, 1);
    const end = new AbortController();
    // Its first piece has come.
    const body = { begin: () => {}, add: () => void setImmediate(() => end.abort(reason)), text: () => "" };
    const answer = transport.get({
      ...{ path: "/v1/x", query: {}, headers: {}, use: "read", signal: end.signal },
      body: body as unknown as Parameters<typeof transport.get>[0]["body"],
    });
    await assert.rejects(answer, (cause) => cause === reason);
    transport.close();
  }
});
