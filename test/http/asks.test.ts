import assert from "node:assert/strict";
import { request } from "node:http";
import { networkInterfaces } from "node:os";
import { type TestContext, test } from "node:test";
import { askPath, CONFIRM_HEADER } from "../../src/http/asks.ts";
import { httpServer } from "../../src/http/server.ts";
import { securityRow } from "../security/row.ts";

const named = { [CONFIRM_HEADER]: "dc1" };

interface Case {
  readonly name: string;
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly from?: string;
  readonly want: RegExp;
}

const cases: readonly Case[] = [
  { name: "releases", want: /^202 The next pass applies what the brake of dc1 holds\.$/m },
  { name: "asks for the header", headers: {}, want: /^400 / },
  { name: "asks for the same name twice", headers: { [CONFIRM_HEADER]: "dc2" }, want: /^400 / },
  { name: "reads nothing", method: "GET", want: /^405 / },
  { name: "takes no body", body: "{}", want: /^413 / },
  { name: "answers no other Host", headers: { ...named, host: "rebound.example.org" }, want: /^403 / },
  {
    name: "says why it cannot",
    path: askPath("release", "dc2"),
    headers: { [CONFIRM_HEADER]: "dc2" },
    want: /^409 no dc2$/m,
  },
  { name: "knows no odd path", path: "/api/brakes/%E0/release", want: /^404 / },
  { name: "prunes", path: askPath("prune", "dc1"), want: /^202 The next pass deletes what stands of dc1\.$/m },
  {
    name: "says why it prunes nothing",
    path: askPath("prune", "dc2"),
    headers: { [CONFIRM_HEADER]: "dc2" },
    want: /^409 dc2 is there$/m,
  },
  { name: "asks for the header to prune, too", path: askPath("prune", "dc1"), headers: {}, want: /^400 / },
];

const strangers: readonly Case[] = [
  { name: "a proxy", headers: { ...named, "x-forwarded-for": "192.0.2.7" }, want: /^403 / },
  { name: "another kind of proxy", headers: { ...named, VIA: "1.1 edge" }, want: /^403 / },
  { name: "another loopback address", from: "127.0.0.6", want: /^403 / },
];

const hasIPv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ family }) => family === "IPv6"));
const ADDRESSES = ["127.0.0.1", "0.0.0.0", ...(hasIPv6 ? ["::"] : [])];
for (const one of cases)
  for (const address of ADDRESSES)
    test(`what is asked for over HTTP on ${address}: ${one.name}`, (t) => isAnswered(t, address, one));
for (const one of strangers)
  for (const address of ADDRESSES)
    test(
      securityRow(
        {
          who: "HTTP client",
          attack: "releases a brake by a proxy or a sidecar on the same machine",
          outcome: "403: only 127.0.0.1 and ::1 may, and no proxy",
        },
        `${one.name}, ${address}`,
      ),
      (t) => isAnswered(t, address, one),
    );

async function isAnswered(t: TestContext, address: string, asked: Case): Promise<void> {
  const { name, method = "POST", path = askPath("release", "dc1"), headers = named, body, from, want } = asked;
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
      async prune(registry) {
        if (registry !== "dc1") throw new Error(`${registry} is there`);
        released.push(`all of ${registry}`);
      },
    },
  });
  t.after(() => server.stop());
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const place = { host: "127.0.0.1", port: server.port, localAddress: from ?? "127.0.0.1" };
  const options = { ...place, path, method, headers, agent: false } as const;
  const sent = request(options, async (response) => {
    resolve(`${response.statusCode} ${Buffer.concat(await response.toArray()).toString()}`);
  });
  sent.on("error", reject).end(body);
  assert.match(await promise, want);
  assert.deepEqual(released, name === "releases" ? ["dc1"] : name === "prunes" ? ["all of dc1"] : []);
}
