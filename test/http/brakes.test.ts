import assert from "node:assert/strict";
import { request } from "node:http";
import { test } from "node:test";
import { CONFIRM_HEADER, releasePath } from "../../src/http/brakes.ts";
import { httpServer } from "../../src/http/server.ts";

const named = { [CONFIRM_HEADER]: "dc1" };
const cases: readonly {
  readonly name: string;
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly want: RegExp;
}[] = [
  { name: "releases", want: /^202 The next pass lets go what the brake of dc1 holds\.$/m },
  { name: "asks for the header", headers: {}, want: /^400 / },
  { name: "asks for the same name twice", headers: { [CONFIRM_HEADER]: "dc2" }, want: /^400 / },
  { name: "reads nothing", method: "GET", want: /^405 / },
  { name: "takes no body", body: "{}", want: /^413 / },
  { name: "answers no other Host", headers: { ...named, host: "rebound.example.org" }, want: /^403 / },
  { name: "says why it cannot", path: releasePath("dc2"), headers: { [CONFIRM_HEADER]: "dc2" }, want: /^409 no dc2$/m },
  { name: "knows no odd path", path: "/api/brakes/%E0/release", want: /^404 / },
];

for (const { name, method = "POST", path = releasePath("dc1"), headers = named, body, want } of cases) {
  for (const address of ["127.0.0.1", "0.0.0.0"]) {
    test(`a brake over HTTP on ${address}: ${name}`, async (t) => {
      const released: string[] = [];
      const server = await httpServer({
        listen: { address, port: 0 },
        source: {
          ready: () => ({ ready: true, reasons: [] }),
          services: () => [],
          plan: () => ({}),
          metrics: async () => "",
          async release(registry) {
            if (registry !== "dc1") throw new Error(`no ${registry}`);
            released.push(registry);
          },
        },
      });
      t.after(() => server.stop());
      const { promise, resolve, reject } = Promise.withResolvers<string>();
      const options = { host: "127.0.0.1", port: server.port, path, method, headers, agent: false } as const;
      const sent = request(options, async (response) => {
        resolve(`${response.statusCode} ${Buffer.concat(await response.toArray()).toString()}`);
      });
      sent.on("error", reject).end(body);
      assert.match(await promise, want);
      assert.deepEqual(released, name === "releases" ? ["dc1"] : []);
    });
  }
}
