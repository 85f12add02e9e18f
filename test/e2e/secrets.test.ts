import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { securityRow } from "../security/row.ts";
import { until } from "../servers/kube-admin.ts";
import { runCli, startReplica } from "./cli.ts";
import { fixture } from "./fixture.ts";
import { strangeIn } from "./terminal.ts";

/** By where it stands. */
const SECRETS = {
  inline: "s3cr3t-inline-7f3a9c",
  file: "s3cr3t/of+the=file",
  environment: "s3cr3t-of-the-environment",
  password: "s3cr3t passwörd",
  polaris: "s3cr3t-polaris-1122",
  module: "s3cr3t-module-3344",
};

/** Sends back all that it was sent, in all forms, among sequences for a terminal. */
function echo(request: IncomingMessage, response: ServerResponse): void {
  const sent = [request.headers["x-consul-token"], request.headers["x-polaris-token"], request.headers.authorization];
  const values = sent.flatMap((one) => one ?? []).map(String);
  const basic = values.flatMap((one) =>
    one.startsWith("Basic ") ? [String(Buffer.from(one.slice(6), "base64"))] : [],
  );
  const forms = [...values, ...basic].flatMap((one) => [
    one,
    encodeURIComponent(one),
    Buffer.from(one).toString("base64"),
    JSON.stringify(one),
  ]);
  const said = `\u001b[2J\u202e${forms.join(" ")}`;
  if (request.url?.startsWith("/v1/Discover") === true)
    response.writeHead(500, { "content-type": "application/json" }).end(JSON.stringify({ code: 500001, info: said }));
  else response.writeHead(403).end(said);
}

async function echoServer(t: TestContext): Promise<string> {
  const server = createServer(echo);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const MODULE = `export const adapter = {
  create: ({ apiKey }, { registry, log }) => ({
    registry,
    async read() {
      log.warn({ apiKey, url: "http://registry.example.org/?key=" + encodeURIComponent(apiKey) }, "it says so");
      throw new Error("refused: " + "x".repeat(1990) + apiKey, { cause: new Error("\\u001b[2J" + apiKey) });
    },
  }),
};`;

test(
  securityRow({
    who: "registry server",
    attack: "sends back the token or password that it was sent, or makes a module throw its own",
    outcome: "no log line, error, plan, API answer or metric has it",
  }),
  async (t) => {
    const address = await echoServer(t);
    const consul = { kind: "consul", address };
    const where = await fixture(t, [], {
      registries: [
        { ...consul, name: "inline", token: SECRETS.inline },
        { ...consul, name: "file", tokenFile: "token" },
        { ...consul, name: "environment", token: "${X2ISTIO_TEST_TOKEN}" },
        { ...consul, name: "password", basicAuth: { username: "someone", passwordFile: "password" } },
        { kind: "polaris", name: "polaris", address, token: SECRETS.polaris },
        { kind: "module", name: "module", path: "own.js", options: { apiKey: SECRETS.module } },
      ],
      aliases: [],
      target: { kind: "directory", path: "out" },
    });
    await writeFile(join(where.dir, "token"), `${SECRETS.file}\n`);
    await writeFile(join(where.dir, "password"), SECRETS.password);
    await writeFile(join(where.dir, "own.js"), MODULE);
    const env = { X2ISTIO_TEST_TOKEN: SECRETS.environment };

    const assertNone = (what: string, text: string) => {
      assert.doesNotMatch(text, /s3cr3t/i, what);
      for (const value of Object.values(SECRETS))
        for (const form of [btoa(value.replace("ö", "oe")), Buffer.from(value).toString("base64")])
          assert.ok(!text.includes(form.replace(/=+$/, "").slice(0, 12)), `${what}: ${form}`);
      assert.deepEqual(strangeIn(text), [], what);
    };
    for (const command of [["validate"], ["plan"], ["plan", "-o", "json"], ["apply"]]) {
      const { stdout, stderr } = await runCli(["--config", where.config, "--log-level", "debug", ...command], { env });
      assertNone(command.join(" "), stdout + stderr);
      if (command[0] === "plan") assert.match(stdout, /\[secret\]/);
    }
    const replica = startReplica(t, { config: where.config, ports: where.ports, env });
    const said = () => replica.logged("it says so");
    await until("all registries were read", async () => {
      const text = await (await fetch(`${replica.http}/metrics`)).text();
      const failed = text.matchAll(/^x2istio_registry_reads_total\{registry="\w+",result="failed"\} ([1-9]\d*)$/gm);
      return [...failed].length === 6;
    });
    assert.ok(said().length > 0);
    for (const path of ["/metrics", "/api/services", "/api/plan", "/api/names", "/readyz", "/"]) {
      const answer = await fetch(`${replica.http}${path}`);
      assertNone(path, await answer.text());
    }
    await replica.stop();
    assertNone("the log", replica.output());
    assert.match(replica.output(), /\[secret\]/);
  },
);
