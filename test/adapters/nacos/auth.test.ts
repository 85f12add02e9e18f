import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { describeError } from "../../../src/errors.ts";
import { faultRow } from "../../faults/row.ts";
import { read, registryAt } from "./registry.ts";
import { type Stub, stubFor } from "./stub.ts";

const LOGIN = { v3: "/nacos/v3/auth/user/login", v1: "/nacos/v1/auth/login" } as const;

/** Let a stub give tokens, numbered, of whoever knows the password; and tell who asked. */
function givesTokens(stub: Stub, path: string, password: string, seconds = 100): string[] {
  const forms: string[] = [];
  stub.http[path] = (_request, response, body) => {
    forms.push(body);
    if (new URLSearchParams(body).get("password") !== password) return void response.writeHead(403).end();
    response.end(JSON.stringify({ accessToken: `token-${forms.length}`, tokenTtl: seconds, globalAdmin: false }));
  };
  return forms;
}
const tokenOf = (stub: Stub) => stub.asked.at(-1)?.headers.accessToken;

for (const [version, path] of Object.entries(LOGIN))
  test(`a token is fetched once, by the login of ${version}, and renewed after four fifths of its time`, async (t) => {
    const stub = await stubFor(t);
    const state = { ms: 0 };
    const forms = givesTokens(stub, path, "opensesame");
    const registry = registryAt(t, stub, { username: "mesh", password: "opensesame" }, () => state.ms);
    await read(registry);
    await read(registry);
    assert.deepEqual([forms, tokenOf(stub)], [["username=mesh&password=opensesame"], "token-1"]);
    state.ms = 79_999;
    await read(registry);
    assert.equal(tokenOf(stub), "token-1");
    state.ms = 80_000;
    await read(registry);
    assert.equal(tokenOf(stub), "token-2");
  });

test("namespaces log in together, and the password is read from its file at each login", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-nacos-"));
  t.after(() => rm(dir, { recursive: true }));
  const file = join(dir, "password");
  await writeFile(file, "first\n");
  const stub = await stubFor(t);
  const state = { ms: 0 };
  const forms = givesTokens(stub, LOGIN.v3, "first");
  const options = { username: "mesh", passwordFile: file, namespaces: ["public", "a", "b"] };
  const registry = registryAt(t, stub, options, () => state.ms);
  await read(registry);
  assert.equal(forms.length, 1);
  await writeFile(file, "second");
  givesTokens(stub, LOGIN.v3, "second");
  state.ms = 80_000;
  await read(registry);
});

test(
  faultRow({
    target: "Nacos",
    fault: "a token is refused as soon as it is given",
    expect: "the read is denied; nobody logs in again and again",
  }),
  async (t) => {
    const stub = await stubFor(t);
    const forms = givesTokens(stub, LOGIN.v3, "opensesame");
    stub.special.ServiceListRequest = () => ({ resultCode: 500, errorCode: 403, success: false });
    const registry = registryAt(t, stub, { username: "mesh", password: "opensesame" });
    await assert.rejects(read(registry), (error: Error & { failure?: string }) => error.failure === "denied");
    assert.equal(forms.length, 1);
  },
);

test(
  faultRow({
    target: "Nacos",
    fault: "the login sends to another server, or gives no token",
    expect: "nobody follows, and the read fails: the password is for this one",
  }),
  async (t) => {
    const [stub, other] = [await stubFor(t), await stubFor(t)];
    const forms = givesTokens(other, LOGIN.v3, "opensesame");
    stub.http[LOGIN.v3] = (_request, response) =>
      void response.writeHead(307, { location: `${other.address}${LOGIN.v3}` }).end();
    const registry = registryAt(t, stub, { username: "mesh", password: "opensesame" });
    await assert.rejects(read(registry), /Cannot read services/);
    assert.equal(forms.length, 0);
    stub.http[LOGIN.v3] = (_request, response) => void response.end("{}");
    await assert.rejects(read(registry), (error) => /a login gave no token/.test(describeError(error)));
  },
);

test("requests are signed by what they are about, where there are keys", async (t) => {
  const stub = await stubFor(t);
  stub.services.set("DEFAULT_GROUP@@orders", [{ ip: "192.0.2.1" }]);
  await read(registryAt(t, stub, { accessKey: "key", secretKey: "secret" }));
  const about = stub.asked.find(({ type }) => type === "SubscribeServiceRequest")?.headers ?? {};
  assert.match(about.data ?? "", /^\d{13}@@DEFAULT_GROUP@@orders$/);
  assert.equal(about.ak, "key");
  assert.equal(
    about.signature,
    createHmac("sha1", "secret")
      .update(about.data ?? "")
      .digest("base64"),
  );
  const list = stub.asked.find(({ type }) => type === "ServiceListRequest")?.headers.data;
  assert.match(list ?? "", /^\d{13}@@DEFAULT_GROUP@@$/);
});
