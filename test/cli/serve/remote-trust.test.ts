import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { remoteNames } from "../../../src/cli/serve/remote-names.ts";
import type { NamesConfig } from "../../../src/config/config.ts";
import { ConfigError, describeError } from "../../../src/errors.ts";
import { publishedNames } from "../../../src/http/names.ts";
import { httpServer } from "../../../src/http/server.ts";
import { createLog } from "../../../src/log.ts";
import type { NameTable } from "../../../src/model/name-table.ts";
import { securityRow } from "../../security/row.ts";
import { lacking } from "../../servers/programs.ts";
import { until } from "../../until.ts";

const SECRET = "a secret of the test";
const OTHER = "another secret of it";
const NAME = "orders.mesh.internal";

function tableWith(vip: string, serial: number): NameTable {
  const row = { name: NAME, host: NAME, a: [vip], aaaa: [], settledAtMs: 0 };
  return { names: new Map([[NAME, row]]), parents: new Set(), serial };
}

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-trust-"));
  t.after(() => rm(dir, { recursive: true }));
  return dir;
}

/** An x2istio that has a name, with `lines` as its secrets, or without any. */
async function startMain(t: TestContext, lines: string | undefined) {
  const dir = await folder(t);
  const secretFile = join(dir, "main.secret");
  if (lines !== undefined) await writeFile(secretFile, lines);
  let table = tableWith("240.241.0.1", 1);
  const names = publishedNames({
    table: () => table,
    wantEndpoints() {
      table = { ...table, hasEndpoints: true, serial: table.serial + 1 };
    },
    secretFile: () => (lines === undefined ? undefined : secretFile),
  });
  const source = { ready: () => ({ ready: true, reasons: [] }), services: () => [], plan: () => [], names };
  const server = await httpServer({
    listen: { address: "127.0.0.1", port: 0 },
    source: { ...source, metrics: async () => "" },
  });
  t.after(() => server.stop());
  return {
    port: server.port,
    secretFile,
    give(vip: string) {
      table = tableWith(vip, table.serial + 1);
      names.refresh();
    },
  };
}

/** An answer on its way. */
interface Passing {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A question on its way. */
interface Asking {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

/** Someone between who may change what is asked, and what is answered. */
interface Between {
  ask?(url: string, headers: IncomingHttpHeaders): Asking | Promise<Asking>;
  answer?(passing: Passing): Passing;
}

async function startBetween(t: TestContext, port: number, between: Between) {
  const seen: Passing[] = [];
  const server = createServer(async (request, response) => {
    const asking = { url: request.url ?? "", headers: request.headers };
    const { url, headers } = (await between.ask?.(asking.url, asking.headers)) ?? asking;
    const passed = { "x2istio-nonce": "", "if-none-match": "", "accept-encoding": "identity" };
    for (const name of ["x2istio-nonce", "if-none-match"] as const) passed[name] = String(headers[name] ?? "");
    const given = Object.fromEntries(Object.entries(passed).filter(([, value]) => value !== ""));
    // It does not wait, so that it always has something to change.
    const got = await fetch(`http://127.0.0.1:${port}${url.replace("wait=20", "wait=0")}`, { headers: given });
    const whole = { status: got.status, headers: Object.fromEntries(got.headers), body: await got.text() };
    seen.push(whole);
    const { status, headers: answered, body } = between.answer?.(whole) ?? whole;
    const { "content-length": _, connection: __, "transfer-encoding": ___, ...kept } = answered;
    response.writeHead(status, kept).end(status === 304 ? undefined : body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, seen };
}

/** A server of names that believes as `names` says. */
function follow(t: TestContext, from: string, names: Partial<NamesConfig>, endpoints = false) {
  const end = new AbortController();
  const errors: string[] = [];
  const state = { current: 0 };
  const silent = createLog({ level: "silent", pretty: false });
  const log = {
    ...silent,
    error: ({ error }: { readonly error: unknown }) => void errors.push(describeError(error)),
  } as typeof silent;
  const remote = remoteNames(from, {
    ...{ log, endpoints, dns: { zones: [{ name: "mesh.internal", forward: [] }], names: { suffixes: [], ...names } } },
    onTable() {},
    onCurrent: () => void state.current++,
  });
  const followed = remote.follow(end.signal);
  t.after(async () => {
    end.abort();
    await followed;
  });
  return { state, errors, vip: () => remote.table()?.names.get(NAME)?.a.join() };
}

async function secretOf(t: TestContext, lines: string): Promise<string> {
  const file = join(await folder(t), "secret");
  await writeFile(file, lines);
  return file;
}

for (const [title, ours, theirs] of [
  ["the same secret", SECRET, SECRET],
  ["a secret that is about to replace another", `${OTHER}\n${SECRET}\n`, `${SECRET}\n${OTHER}\n`],
] as const)
  test(`remoteNames() follows names that are proven by ${title}`, async (t) => {
    const main = await startMain(t, theirs);
    const { vip, errors } = follow(t, `http://127.0.0.1:${main.port}`, { secretFile: await secretOf(t, ours) });
    await until(() => vip() === "240.241.0.1");
    main.give("240.241.0.2");
    await until(() => vip() === "240.241.0.2");
    assert.deepEqual(errors, []);
  });

/** What someone between does, once the names have been followed. */
const attacks: readonly { readonly name: string; readonly make: (first: () => Passing, port: number) => Between }[] = [
  {
    name: "an address that was changed",
    make: () => ({ answer: (one) => ({ ...one, body: one.body.replaceAll("240.241.0", "192.0.2") }) }),
  },
  {
    name: "a date that was changed",
    make: () => ({
      answer: (one) => ({ ...one, headers: { ...one.headers, date: new Date(Date.now() + 1e9).toUTCString() } }),
    }),
  },
  { name: "an older answer", make: (first) => ({ answer: () => first() }) },
  {
    name: "that nothing has changed, when it has",
    make: () => ({ answer: (one) => ({ ...one, status: 304, body: "" }) }),
  },
  {
    name: "that nothing has changed, by a question that was changed",
    make: (_, port) => ({
      async ask(url, headers) {
        const now = await fetch(`http://127.0.0.1:${port}/api/names`);
        return { url, headers: { ...headers, "if-none-match": now.headers.get("etag") ?? assert.fail() } };
      },
    }),
  },
  {
    name: "names without their endpoints",
    make: () => ({ ask: (url, headers) => ({ url: url.replace("endpoints=true", "endpoints=false"), headers }) }),
  },
  {
    name: "names without a proof",
    make: () => ({
      answer({ headers: { "x2istio-proof": _, ...headers }, ...one }) {
        return { ...one, headers };
      },
    }),
  },
  {
    name: "a proof that is none",
    make: () => ({ answer: (one) => ({ ...one, headers: { ...one.headers, "x2istio-proof": "0".repeat(64) } }) }),
  },
];
for (const { name, make } of attacks)
  test(
    securityRow(
      {
        who: "network",
        attack: "changes or replays what x2istio dns --from is told by http, where both sides have a secret",
        outcome: "the names that were proven last are answered, and the log says so",
      },
      name,
    ),
    async (t) => {
      const main = await startMain(t, SECRET);
      const between: Between = {};
      const { port, seen } = await startBetween(t, main.port, between);
      const secretFile = await secretOf(t, SECRET);
      const { vip, errors, state } = follow(t, `http://127.0.0.1:${port}`, { secretFile }, true);
      await until(() => state.current > 1);
      Object.assign(
        between,
        make(() => seen.find(({ status }) => status === 200) ?? assert.fail(), main.port),
      );
      main.give("240.241.0.2");
      await until(() => errors.some((error) => error.startsWith("Cannot believe the names of http:")));
      assert.equal(vip(), "240.241.0.1");
      assert.ok(!errors.join().includes(SECRET));
      for (const key of ["ask", "answer"] as const) delete between[key];
      await until(() => vip() === "240.241.0.2");
    },
  );

for (const [title, ours, theirs, want] of [
  ["another secret", SECRET, OTHER, /their proof is not by a secret in dns\.names\.secretFile/],
  ["no secret on the other side", SECRET, undefined, /it has no secret to prove them by/],
  ["a secret that is too short", "short", SECRET, /must have a secret of at least 16 characters/],
  ["an empty file", "\n", SECRET, /must have a secret/],
] as const)
  test(`remoteNames() believes nothing with ${title}`, async (t) => {
    const main = await startMain(t, theirs);
    const { vip, errors } = follow(t, `http://127.0.0.1:${main.port}`, { secretFile: await secretOf(t, ours) });
    await until(() => errors.length > 0);
    assert.equal(vip(), undefined);
    assert.match(errors[0] ?? "", want);
    for (const secret of [SECRET, OTHER]) assert.ok(!errors.join().includes(secret));
  });

for (const nonce of ["", "x", "0".repeat(31), "A".repeat(32)])
  test(`/api/names proves nothing for the nonce "${nonce}"`, async (t) => {
    const { port } = await startMain(t, SECRET);
    const { status, headers } = await fetch(`http://127.0.0.1:${port}/api/names`, {
      headers: { "x2istio-nonce": nonce },
    });
    assert.deepEqual([status, headers.get("x2istio-proof")], [400, null]);
  });

const skip = lacking("openssl");

/** Names by https, and a page by http to which they lead when the test says so. */
async function startTls(t: TestContext) {
  const dir = await folder(t);
  const [ca, key] = [join(dir, "cert.pem"), join(dir, "key.pem")];
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  execFileSync("openssl", ["req", "-x509", ...curve, "-keyout", key, "-out", ca, "-days", "2", ...names], {
    stdio: "ignore",
  });
  const state: { location: string | undefined; authorization: string | undefined } = {
    location: undefined,
    authorization: undefined,
  };
  const row = { name: NAME, host: NAME, a: ["240.241.0.1"], aaaa: [], settledAtMs: 0 };
  const server = createTlsServer({ cert: await readFile(ca), key: await readFile(key) }, (request, response) => {
    state.authorization = request.headers.authorization;
    if (state.location !== undefined) response.writeHead(307, { location: state.location }).end();
    else response.end(JSON.stringify({ serial: 1, hasEndpoints: false, names: [row] }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { state, dir, ca, from: `https://localhost:${(server.address() as AddressInfo).port}` };
}

test(securityRow({
  who: "network",
  attack: "answers in place of the x2istio that x2istio dns --from asks by https",
  outcome: "it is believed by its certificate only, and leads nowhere else",
}), { skip }, async (t) => {
  const { state, dir, ca, from } = await startTls(t);
  const tokenFile = join(dir, "token");
  await writeFile(tokenFile, "a token\n");
  const good = follow(t, from, { ca, tokenFile });
  await until(() => good.vip() === "240.241.0.1");
  assert.equal(state.authorization, "Bearer a token");
  const bad = follow(t, from, {});
  await until(() => bad.errors.length > 0);
  assert.equal(bad.vip(), undefined);

  const plain = await startMain(t, undefined);
  state.location = `http://127.0.0.1:${plain.port}/api/names`;
  const led = follow(t, from, { ca });
  await until(() => led.errors.length > 0);
  assert.equal(led.vip(), undefined);
});

const untrusted: readonly (readonly [from: string, names: Partial<NamesConfig>, want: RegExp])[] = [
  ["http://x2istio.example.org:8080", {}, /plain http from another machine/],
  ["http://10.0.0.1:8080", {}, /plain http from another machine/],
  ["http://127.0.0.1.example.org:8080", {}, /plain http from another machine/],
  ["http://[2001:db8::1]:8080", { suffixes: ["example.org"] }, /plain http from another machine/],
  ["http://10.0.0.1:8080", { secretFile: "s", tokenFile: "t" }, /Cannot send dns\.names\.tokenFile by plain http/],
  ["http://127.0.0.1:8080", { ca: "c" }, /--from must be an https address/],
  ["https://a:b@x2istio.example.org", {}, /must have no user and password/],
];
const trusted: readonly (readonly [from: string, names: Partial<NamesConfig>])[] = [
  ["http://127.0.0.2:8080", {}],
  ["http://[::1]:8080", {}],
  ["http://localhost:8080", { tokenFile: "t" }],
  ["http://10.0.0.1:8080", { secretFile: "s" }],
  ["https://x2istio.example.org", {}],
];
const optionsWith = (names: Partial<NamesConfig>) => ({
  ...{ log: createLog({ level: "silent", pretty: false }), endpoints: false },
  dns: { zones: [], names: { suffixes: [], ...names } },
  onTable() {},
  onCurrent() {},
});
for (const [from, names, want] of untrusted)
  test(`remoteNames() does not begin to follow ${from} with ${JSON.stringify(names)}`, () => {
    assert.throws(
      () => remoteNames(from, optionsWith(names)),
      (error: unknown) => error instanceof ConfigError && want.test(error.message),
    );
  });
for (const [from, names] of trusted)
  test(`remoteNames() may follow ${from} with ${JSON.stringify(names)}`, () => {
    remoteNames(from, optionsWith(names));
  });
