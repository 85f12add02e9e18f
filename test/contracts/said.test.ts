import assert from "node:assert/strict";
import { test } from "node:test";
import { place, service, services } from "./folder.ts";

const DNS = { zones: ["mesh.internal", "example.com"] };
const named = (name: string, ...legacyNames: string[]) => ({ ...service(name, "192.0.2.1"), legacyNames });
const lineWith = (text: string, part: string) => text.split("\n").find((line) => line.includes(part)) ?? "";

test("validate: 1 for legacy names that only contain one, with file, line and what to write", async (t) => {
  const wants = [
    ["https://orders.example.com:8443/api", /it is a URL, .*: write the host alone, orders\.example\.com$/],
    ["https://bücher.example.com/", /it is a URL, .*: write the host alone, xn--bcher-kva\.example\.com$/],
    ["orders.example.com:8080", /it has a port: write the host alone, orders\.example\.com, which/],
    ["cache:6379", /it has a port: write the host alone, cache, which/],
    ["orders.example.com/api", /it has a path: write the host alone, orders\.example\.com$/],
    ["bü cher.example.com", /characters that a DNS name cannot have$/],
  ] as const;
  const orders = named("orders", "orders.example.com", ...wants.map(([raw]) => raw));
  const { x2istio } = await place(t, [service("stock", "192.0.2.2"), orders], { dns: DNS });
  const { code, stdout } = await x2istio("validate");
  assert.equal(code, 1);
  for (const [raw, why] of wants) {
    const line = lineWith(stdout, JSON.stringify(raw));
    assert.match(line, /^registry vms, services\.yaml:\d+: legacy name .* of orders is not given: /);
    assert.match(line, why);
  }
  assert.equal(lineWith(stdout, '"orders.example.com"'), "");
});

test("a legacy name beyond ASCII is answered by its form in DNS, which validate and explain say", async (t) => {
  const { x2istio } = await place(t, [named("orders", "bücher.example.com")], { dns: DNS });
  const said = 'legacy name "bücher.example.com" is xn--bcher-kva.example.com in DNS, and is answered by that';
  const validated = await x2istio("validate");
  assert.equal(validated.code, 0);
  assert.match(validated.stdout, /^registry vms: services\.yaml:\d+: legacy name/m);
  assert.ok(validated.stdout.includes(said));
  assert.equal((await x2istio("apply")).code, 0);
  for (const name of ["bücher.example.com", "BÜCHER.example.com", "xn--bcher-kva.example.com"]) {
    const { code, stdout } = await x2istio("explain", name);
    assert.equal(code, 0);
    assert.match(stdout, /^ +answers .*\n? *xn--bcher-kva\.example\.com +A 240\.241\./m);
    assert.ok(stdout.includes(said));
  }
});

test("domains beyond ASCII in the configuration are those of DNS", async (t) => {
  const registries = [
    { kind: "static", name: "vms", file: "services.yaml", legacyNames: ["{service}.bücher.example.com"] },
  ];
  const dns = { zones: ["mesh.internal", "bücher.example.com"] };
  const { x2istio } = await place(t, services(1), { registries, dns });
  const { code, stdout } = await x2istio("validate");
  assert.equal(code, 0);
  assert.doesNotMatch(stdout, /which is in none of dns\.zones/);
  await x2istio("apply");
  assert.match((await x2istio("explain", "s0")).stdout, /s0\.xn--bcher-kva\.example\.com +A /);
});

test("validate: 1 for vips.ranges where none can be, 0 and a warning where they hardly ever are, each with its line", async (t) => {
  const { x2istio, configure } = await place(t, services(1), { vips: { ranges: ["198.51.100.0/24", "10.96.0.0/16"] } });
  const warned = await x2istio("validate");
  assert.equal(warned.code, 0);
  assert.match(warned.stdout, /^\S*x2istio\.yaml:\d+:\d+ vips\.ranges\[0\]: 198\.51\.100\.0\/24 .*documentation/m);
  assert.match(
    warned.stdout,
    /^\S*x2istio\.yaml:\d+:\d+ vips\.ranges\[1\]: 10\.96\.0\.0\/16 .*the cluster's own pods/m,
  );
  await configure({ vips: { ranges: ["240.241.0.0/16", "127.1.0.0/16"] } });
  const refused = await x2istio("validate");
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /x2istio\.yaml:\d+:\d+ vips\.ranges\[1\]: overlaps 127\.0\.0\.0\/8, loopback/);
});

const REDIS = ["redis_server", "mail_out", "orders.v2", "web"].map((name, at) => service(name, `192.0.2.${at + 1}`));

test("aliases that can never be are one hold, which is no reason for exit code 3", async (t) => {
  const aliases = [{ registry: "vms", as: "{service}", in: "shop" }];
  const { x2istio, configure, files } = await place(t, REDIS, { aliases });
  const first = await x2istio("apply");
  assert.equal(first.code, 0);
  assert.equal(first.stdout.match(/^!/gm)?.length, 1);
  assert.match(
    first.stdout,
    /^! .*3 aliases of registry vms in shop held: "mail_out", "orders\.v2", "redis_server" are not DNS labels: the rule can rewrite such names, as: "\{service\|dns\}", or exclude them$/m,
  );
  assert.equal((await x2istio("apply")).code, 0);
  assert.match((await x2istio("explain", "redis_server")).stdout, /"redis_server" are not DNS labels/);
  await configure({ aliases: [{ ...aliases[0], as: "{service|dns}", exclude: ["mail_*"] }] });
  const rewritten = await x2istio("apply");
  assert.equal(rewritten.code, 0);
  assert.match(rewritten.stdout, / 0 held/);
  const found = (await files()).map((file) => file.split("/")).filter(([namespace]) => namespace === "mesh-services");
  assert.ok(found.length > 0);
  for (const [name, alias] of [
    ["redis_server", "shop/redis-server"],
    ["orders.v2", "shop/orders-v2"],
    ["web", "shop/web"],
  ] as const)
    assert.match((await x2istio("explain", alias)).stdout, new RegExp(`is an alias of vms/default/${name}$`, "m"));
  assert.equal((await x2istio("explain", "shop/mail-out")).code, 1);
});

test("an alias rule that cannot be: |dns elsewhere, and rules for several services without {service}", async (t) => {
  const { x2istio, configure } = await place(t, services(1));
  await configure({ hosts: { template: "{service|dns}.mesh.internal" } });
  assert.match((await x2istio("validate")).stderr, /hosts\.template: takes \{service\|dns\} in aliases\[\]\.as only/);
  await configure({ aliases: [{ registry: "vms", as: "{namespace|dns}", in: "shop" }] });
  assert.match((await x2istio("validate")).stderr, /aliases\[0\]\.as: must contain \{service\}/);
});

test("rules that match nothing are said by validate and plan, with their lines", async (t) => {
  const aliases = [
    { registry: "vms", service: "ordres", as: "orders", in: "shop" },
    { registry: "vms", namespace: "defalt", as: "{service}", in: "shop" },
    { registry: "vms", service: "s*", exclude: ["s*"], as: "{service}", in: "shop" },
    { registry: "vms", service: "stock", as: "stock", in: "shop" },
  ];
  const migration = { allow: [{ registry: "vms", service: "nobody", by: ["shop"] }] };
  const all = [service("orders", "192.0.2.1"), service("stock", "192.0.2.2")];
  const { x2istio, write } = await place(t, all, { aliases, migration });
  const want = [
    /x2istio\.yaml:\d+:\d+ aliases\[0\]: matches no service of registry vms: no name matches ordres, but there is orders$/m,
    /x2istio\.yaml:\d+:\d+ aliases\[1\]: matches no service of registry vms: no namespace matches defalt, but there is default$/m,
    /x2istio\.yaml:\d+:\d+ aliases\[2\]: matches no service of registry vms/m,
    /x2istio\.yaml:\d+:\d+ migration\.allow\[0\]: matches no service of registry vms: no name matches nobody$/m,
  ];
  for (const command of ["validate", "plan"]) {
    const { code, stdout } = await x2istio(command);
    assert.equal(code, 0, command);
    for (const line of want) assert.match(stdout, line);
    assert.doesNotMatch(stdout, /aliases\[3\]/);
  }
  // Of what is known in part, nothing is said.
  await write("services.yaml", "services: [{name: stock}, {nothing: true}]");
  for (const command of ["validate", "plan"])
    assert.doesNotMatch((await x2istio(command)).stdout, /matches no service/);
});

test("a rule for a registry that is merged into another one matches nothing, and says which to write", async (t) => {
  const registries = ["vms", "metal"].map((name) => ({ kind: "static", name, file: "services.yaml" }));
  const aliases = [{ registry: "metal", as: "{service}", in: "shop" }];
  const { x2istio } = await place(t, services(1), { registries, aliases, merge: ["vms", "metal"] });
  for (const command of ["validate", "plan"])
    assert.match(
      (await x2istio(command)).stdout,
      /aliases\[0\]: matches no service: .*merged into vms; write registry: vms$/m,
    );
});

test("one broken file is one line of the plan, with the first fault alone", async (t) => {
  const { x2istio, write } = await place(t, services(4));
  await x2istio("apply");
  const lines = [0, 1, 2, 3].map(
    (n) =>
      `  - name: s${n}\n   ports: [{name: p, number: 80, protocol: http}]\n    endpoints: [{address: 192.0.2.${n + 1}}]\n`,
  );
  await write("services.yaml", `services:\n${lines.join("")}`);
  const { code, stdout } = await x2istio("plan");
  assert.equal(code, 1);
  assert.equal(stdout.match(/services\.yaml:\d+/g)?.length, 1);
  assert.match(
    stdout,
    /^vms .*known only in part: services\.yaml:3:1: is indented by 3, which fits no line above: .*, here 4$/m,
  );
  assert.equal(stdout.match(/^!/gm)?.length, 1);
  assert.match(stdout, /^! 4 services of registry vms +held: they stand and are not listed/m);
  const { stdout: validated } = await x2istio("validate");
  assert.equal(validated.match(/services\.yaml:\d+/g)?.length, 1);
});

test("a start that cannot listen says which option and line are meant, without a stack", async (t) => {
  const { createServer } = await import("node:net");
  const taken = createServer();
  await new Promise<void>((done) => taken.listen(0, "127.0.0.1", done));
  t.after(() => taken.close());
  const { port } = taken.address() as { port: number };
  const { x2istio, configure } = await place(t, services(1));
  for (const [section, file] of [
    ["dns", { dns: { listen: [`127.0.0.1:${port}`] }, http: { listen: "127.0.0.1:0" } }],
    ["http", { dns: { listen: ["127.0.0.1:0"] }, http: { listen: `127.0.0.1:${port}` } }],
  ] as const) {
    await configure(file);
    for (const command of ["run", "dns"]) {
      const { code, stderr } = await x2istio("--log-level", "silent", command);
      assert.equal(code, 1);
      assert.match(
        stderr,
        new RegExp(`^Cannot .*127\\.0\\.0\\.1:${port}.* ${section}\\.listen.*x2istio\\.yaml:\\d+:\\d+\\)$`, "m"),
      );
      assert.doesNotMatch(stderr, /\n +at /);
    }
  }
});
