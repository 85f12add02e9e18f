import assert from "node:assert/strict";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { REPLACES_ANNOTATION, STAGE_ANNOTATION } from "../../src/model/claim.ts";
import { startPolaris } from "../polaris/polaris.ts";
import { securityRow } from "../security/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { consulServers, startConsul } from "../servers/consul.ts";
import { kubeServers, startKube } from "../servers/kube.ts";
import { runCli } from "./cli.ts";
import { admin, MESH, SHOP, servicesPath } from "./cluster.ts";
import { type Fixture, fixture, httpService } from "./fixture.ts";
import { noTerminal, runInTerminal, strangeIn } from "./terminal.ts";

const skip = noTerminal || ((await ensureServers([...kubeServers, ...consulServers])) === undefined && noServers);

/** A colour that we do not have, a title, an empty screen by C0 and by C1, an override, a mark, and a new line. */
const evil = (name: string) =>
  `evil-${name}\u001b[45m\u001b]0;title\u0007\u001b[2J\u009b2J\u202e\u200f\u2028\r\nforged`;

async function consulOf(t: TestContext): Promise<object> {
  const consul = await startConsul();
  t.after(() => consul.stop());
  const base = { service: "pay", port: 80 };
  await consul.register(
    { ...base, id: "1", address: "192.0.2.1", tags: [evil("tag"), `key=${evil("label")}`, `${evil("key")}=a`] },
    { ...base, id: "2", address: "192.0.2.2", meta: { protocol: evil("protocol"), port_admin: evil("port") } },
    { ...base, id: evil("id"), address: evil("address") },
    { ...base, id: "4", address: "192.0.2.4", node: "other" },
    { service: evil("consul-service"), id: "5", port: 80, address: "192.0.2.5" },
  );
  const answer = await consul.request("PUT", "/v1/catalog/register", {
    Node: "other",
    SkipNodeUpdate: true,
    Check: {
      CheckID: evil("check"),
      Name: evil("check-name"),
      Status: "critical",
      Output: evil("output"),
      ServiceID: "4",
    },
  });
  assert.equal(answer.status, 200, String(answer.body));
  return { kind: "consul", name: "dc1", address: consul.address };
}

async function polarisOf(t: TestContext): Promise<object> {
  const polaris = await startPolaris();
  t.after(() => polaris.stop());
  const base = { namespace: "prod", service: "cart", port: 80 };
  polaris.register({ ...base, host: "192.0.2.1", protocol: evil("polaris-protocol") });
  polaris.register({ ...base, host: evil("host"), version: evil("version") });
  polaris.register({ ...base, host: "192.0.2.3", metadata: { [evil("metadata")]: "a", b: evil("value") } });
  polaris.register({ ...base, host: "192.0.2.4", location: { region: evil("region"), zone: "", campus: "" } });
  polaris.register({ ...base, service: evil("polaris-service"), host: "192.0.2.5" });
  return { kind: "polaris", name: "live", address: polaris.address };
}

/** Refuses everything with words of its own. */
async function refusing(t: TestContext, refuse: (response: ServerResponse) => void): Promise<string> {
  const server = createServer((_, response) => refuse(response));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const STATIC = `services:
  - {namespace: shop, name: orders, ports: [{name: http, number: 8080, protocol: http}], endpoints: [{address: 192.0.2.1}]}
  - {namespace: shop, name: ${JSON.stringify(evil("file-service"))}, ports: [], endpoints: []}
  - {namespace: shop, name: stock, ports: [{name: ${JSON.stringify(evil("file-port"))}, number: 1, protocol: tcp}], endpoints: []}
  - {namespace: shop, name: tax, ports: [{name: a, number: 1, protocol: ${JSON.stringify(evil("file-protocol"))}}], endpoints: []}
  - {namespace: shop, name: mail, ports: [{name: a, number: 1, protocol: tcp}], endpoints: [{address: ${JSON.stringify(evil("file-address"))}}]}
  - {namespace: shop, name: pdf, ${JSON.stringify(evil("file-field"))}: 1, ports: [], endpoints: []}
`;

async function hostile(t: TestContext, sections: object): Promise<Fixture> {
  const denied = await refusing(t, (response) => response.writeHead(403).end(evil("body")));
  const busy = await refusing(t, (response) =>
    response.writeHead(500).end(JSON.stringify({ code: 500001, info: evil("info") })),
  );
  const where = await fixture(t, [httpService("orders", "192.0.2.1")], {
    registries: [
      { kind: "static", name: "vms", file: "services.yaml" },
      await consulOf(t),
      await polarisOf(t),
      { kind: "consul", name: "denied", address: denied },
      { kind: "polaris", name: "busy", address: busy, namespaces: ["prod"] },
    ],
    ...sections,
  });
  await where.setText(STATIC);
  return where;
}

/** What each source shows somewhere, so that it is known to have been there. */
const SHOWN = [
  ...["label", "key", "protocol", "port", "address", "check", "body", "info"],
  ...["polaris-protocol", "host", "version", "metadata", "value", "region"],
  ...["file-port", "file-protocol", "file-address", "file-field", "replaces", "stage"],
];

test(securityRow({
  who: "cluster tenant",
  attack:
    "writes escape sequences and overrides into annotations, as registries, their tenants and files do into all they have",
  outcome: "a terminal is sent no sequence but ours, and nobody begins a line",
}), { skip }, async (t) => {
  const kube = await startKube({ namespaces: [MESH, SHOP] });
  t.after(() => kube.stop());
  const where = await hostile(t, { migration: { allow: [{ registry: "vms", service: "*", by: [SHOP] }] } });
  const claimant = (name: string, annotations: object) =>
    admin(kube, "POST", servicesPath(SHOP), {
      metadata: { name, annotations },
      spec: { selector: { app: name }, ports: [{ name: "http", port: 8080 }] },
    });
  await claimant("one", { [REPLACES_ANNOTATION]: evil("replaces") });
  await claimant("two", { [REPLACES_ANNOTATION]: "vms/shop/orders", [STAGE_ANNOTATION]: evil("stage") });
  const env = { KUBECONFIG: kube.kubeconfigPath };
  const all: string[] = [];
  const commands: readonly (readonly string[])[] = [
    ["validate"],
    ["plan"],
    ["apply"],
    ["plan"],
    ["explain", "dc1/default/pay"],
    ["explain", "live/prod/cart"],
    ["explain", "vms/shop/orders"],
    ["migrate", "list"],
    ["explain", "evil-argument\u001b[45m\u009b2J\u202e"],
  ];
  for (const command of commands)
    await t.test(command[0] ?? "", async () => {
      const output = await runInTerminal(["--config", where.config, "--log-level", "debug", ...command], env);
      all.push(output);
      assert.deepEqual(strangeIn(output), [], output.slice(0, 2000));
      assert.doesNotMatch(output, /^forged/m, "a stranger begins no line");
      if (command[0] !== "explain" && command[0] !== "validate") return;
      const json = await runCli(["--config", where.config, ...command, "-o", "json"], { env });
      if (json.stdout === "") return; // nothing of that name
      assert.deepEqual(strangeIn(json.stdout), []);
      JSON.parse(json.stdout);
    });
  const output = all.join("");
  for (const name of SHOWN) assert.ok(output.includes(`evil-${name}`), `${name} was shown: ${output}`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  assert.match(output, /\u001b\[3\dm/, "our own colours are there");
});
