import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { describeError } from "../../src/errors.ts";
import { fetchUsage } from "../../src/usage/fetch.ts";

const signal = new AbortController().signal;

for (const { status, want } of [
  { status: 401, want: /answered 401: A token is needed\. Give it by --token-file$/ },
  { status: 403, want: /answered 403: A token is needed\.$/ },
])
  test(`fetchUsage() says what to do about ${status}`, async (t) => {
    const server = createServer((_, response) => response.writeHead(status).end("A token is needed."));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => server.close());
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await assert.rejects(fetchUsage({ address }, signal), (error) => want.test(describeError(error)));
  });

for (const { title, replica, want } of [
  {
    title: "https without --ca",
    replica: { address: "https://127.0.0.1:0" },
    want: /by --from, and what verifies it by --ca/,
  },
  { title: "https with --ca", replica: { address: "https://127.0.0.1:0", ca: "" }, want: /by --from:/ },
  { title: "http", replica: { address: "http://127.0.0.1:0" }, want: /by --from:/ },
])
  test(`fetchUsage() says how to name a replica: ${title}`, () =>
    assert.rejects(fetchUsage(replica, signal), (error) => want.test(describeError(error))));
