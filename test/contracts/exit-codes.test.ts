import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { test } from "node:test";
import { faultRow } from "../faults/row.ts";
import { place, service, services } from "./folder.ts";

const registry = (name: string, file: string | readonly string[]) => ({ kind: "static", name, file });

test("plan and apply: 0 whether something changes or not; with --detailed-exitcode 2 where it does", async (t) => {
  const { x2istio, write } = await place(t, services(1));
  const detailed = "--detailed-exitcode";
  assert.equal((await x2istio("plan")).code, 0);
  assert.equal((await x2istio("plan", detailed)).code, 2);
  assert.equal((await x2istio("plan", detailed, "-o", "json")).code, 2);
  assert.equal((await x2istio("apply")).code, 0);
  assert.equal((await x2istio("plan", detailed)).code, 0);
  assert.equal((await x2istio("apply", detailed)).code, 0);
  await write("services.yaml", { services: services(2) });
  assert.equal((await x2istio("apply", detailed)).code, 2);
});

test("apply: 3 something held, before 2; plan: holds do not count", async (t) => {
  const bad = { ...service("bad"), ports: [] };
  const { x2istio } = await place(t, [service("good", "192.0.2.1"), bad]);
  const first = await x2istio("apply");
  assert.equal(first.code, 3);
  assert.match(first.stdout, /^1 created, .* 1 held/m);
  assert.equal((await x2istio("apply", "--detailed-exitcode")).code, 3);
  assert.equal((await x2istio("plan")).code, 0);
});

test("plan and apply: 1 a registry cannot be read, before 3 and 2", async (t) => {
  const { x2istio } = await place(t, [service("good", "192.0.2.1"), { ...service("bad"), ports: [] }], {
    registries: [registry("vms", "services.yaml"), registry("metal", "absent.yaml")],
  });
  assert.equal((await x2istio("plan")).code, 1);
  assert.equal((await x2istio("plan", "--detailed-exitcode", "-o", "json")).code, 1);
  const { code, stdout } = await x2istio("apply", "--detailed-exitcode");
  assert.equal(code, 1);
  assert.match(stdout, /^1 created, .* 1 held/m);
  assert.match(stdout, /^metal +cannot be read: absent\.yaml: no such file \(.*absent\.yaml\)$/m);
});

test("plan and apply: 1 for a list that is incomplete and has nothing", async (t) => {
  const { x2istio, write } = await place(t, services(1));
  await write("services.yaml", "services: [");
  assert.equal((await x2istio("plan")).code, 1);
  assert.equal((await x2istio("apply")).code, 1);
});

test(
  faultRow({
    target: "static",
    fault: "one of two files does not parse",
    expect: "the other is used, and what is missing is held",
    peer: "consul2istio",
  }),
  async (t) => {
    const { x2istio, write } = await place(t, [service("good", "192.0.2.1")], {
      registries: [registry("vms", ["services.yaml", "more.yaml"])],
    });
    await write("more.yaml", "services: [");
    for (let pass = 0; pass < 2; pass++) {
      const { code, stdout } = await x2istio("apply");
      assert.equal(code, 3);
      assert.match(stdout, /^vms +1 service, 1 endpoint .*; known only in part: more\.yaml:1:\d+: /m);
    }
  },
);

test(
  faultRow({
    target: "static",
    fault: "four services of ten vanish at once, then all",
    expect: "the brake holds them until they are back or an operator releases it",
    peer: "external-dns #3841",
  }),
  async (t) => {
    const all = services(10);
    const { x2istio, write, objects } = await place(t, all);
    assert.equal((await x2istio("apply")).code, 0);
    const before = await objects("mesh-services/s0.default.vms.mesh.internal.yaml");
    await write("services.yaml", { services: all.slice(4) });
    const braked = await x2istio("apply");
    assert.equal(braked.code, 1);
    assert.equal((await x2istio("plan")).code, 1);
    assert.match(braked.stdout, /brake: 4 of 10 services of registry vms vanished .*x2istio apply --allow-deletes vms/);
    assert.deepEqual(await objects("mesh-services/s0.default.vms.mesh.internal.yaml"), before);
    await write("services.yaml", { services: all });
    assert.equal((await x2istio("apply")).code, 0);
    assert.equal((await x2istio("plan")).code, 0);
    await write("services.yaml", { services: [] });
    assert.match((await x2istio("apply")).stdout, /brake: registry vms lists no service any more, 10 stand/);
    assert.equal((await x2istio("apply", "--allow-deletes", "vms")).code, 0);
    const [gone] = await objects("mesh-services/s0.default.vms.mesh.internal.yaml");
    assert.match(gone?.metadata.annotations?.["x2istio.dev/gone-since"] ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.equal((await x2istio("apply", "--detailed-exitcode")).code, 0, "the second pass has nothing left to do");
  },
);

test("a lost ledger is a change for plan as it is for apply", async (t) => {
  const { dir, x2istio, files } = await place(t, services(1));
  await x2istio("apply");
  const ledger = (await files()).filter((file) => file.includes("x2istio-vips-"));
  assert.equal(ledger.length, 1);
  await rm(`${dir}/out/${ledger[0]}`);
  const planned = await x2istio("plan", "--detailed-exitcode");
  assert.equal(planned.code, 2);
  assert.match(planned.stdout, /^Only the VIP ledger would change: 1 block\.$/m);
  assert.equal((await x2istio("apply", "--detailed-exitcode")).code, 2);
  assert.equal((await x2istio("plan", "--detailed-exitcode")).code, 0);
});

test("what is only planned is not said to be done", async (t) => {
  const aliases = [{ registry: "vms", service: "*", as: "{service}", in: "shop" }];
  const { x2istio, configure } = await place(t, services(1), { aliases });
  await x2istio("apply");
  await configure({});
  assert.match((await x2istio("plan")).stdout, /alias shop\/s0 to be deleted: no alias rule gives it any more/);
  assert.match((await x2istio("apply")).stdout, /alias shop\/s0 deleted: no alias rule gives it any more/);
  const listed = await x2istio("uninstall", "--dry-run");
  assert.equal(listed.code, 0);
  assert.match(listed.stdout, /^1 object would be deleted\. Nothing was written\.$/m);
  assert.match(listed.stdout, /^- ServiceEntry\S+ +would be deleted: of vms\/default\/s0$/m);
  assert.doesNotMatch(listed.stdout, /(?<!would be )deleted/);
  await configure({ registries: [] });
  assert.match((await x2istio("prune", "--registry", "vms", "--dry-run")).stdout, /^1 object would be deleted\./m);
  assert.match((await x2istio("prune", "--registry", "vms")).stdout, /^- ServiceEntry.*\n1 object deleted\.$/m);
});

for (const [args, message] of [
  [["plan", "extra"], /too many arguments for 'plan'/],
  [["explain"], /missing required argument 'name'/],
  [["explain", "nobody.example.com"], /^Cannot explain "nobody\.example\.com"/],
  [["prune"], /required option '--registry <name>'/],
  [["prune", "--registry", "vms"], /^Cannot prune "vms"/],
  [["apply", "--allow-deletes", "a,,b"], /separated by single commas/],
  [["apply", "--allow-deletes", "nobody"], /must be a configured registry: vms/],
  [["plan", "-o", "yaml"], /Allowed choices are text, json/],
  [["bogus"], /unknown command 'bogus'/],
  [["plan", "--config", "absent.yaml"], /^Cannot read config "absent\.yaml": no such file; name yours by --config$/m],
  [["plan", "--config", "/"], /^Cannot read config "\/": it is a folder; name the file in it$/m],
] as const) {
  test(`1 for ${args.join(" ")}, with a sentence on standard error`, async (t) => {
    const { x2istio, files } = await place(t, services(1));
    const { code, stdout, stderr } = await x2istio(...args);
    assert.equal(code, 1);
    assert.equal(stdout, "");
    assert.match(stderr, message);
    assert.ok(!/\n +at /.test(stderr), "no stack");
    assert.deepEqual(await files(), []);
  });
}

test("validate, explain, prune and version: 0 when all is well, validate 1 when a file has a fault", async (t) => {
  const { x2istio, write } = await place(t, services(1));
  assert.equal((await x2istio("validate")).code, 0);
  assert.equal((await x2istio("explain", "s0")).code, 0);
  assert.equal((await x2istio("prune", "--registry", "old")).code, 0);
  assert.equal((await x2istio("version")).code, 0);
  await write("services.yaml", { services: [{ name: "s0" }] });
  assert.equal((await x2istio("validate")).code, 1);
});

test("validate: 1 for an endpoint where none may be, which plan tells of; 0 with a warning", async (t) => {
  const registries = [{ ...registry("vms", "services.yaml"), legacyNames: ["{service}.corp.example.org"] }];
  const { x2istio, write } = await place(t, [service("s0", "127.0.0.1")], { registries });
  const refused = await x2istio("validate");
  assert.equal(refused.code, 1);
  assert.match(
    refused.stdout,
    /services\.yaml:\d+: endpoint 127\.0\.0\.1 of s0 is left out: .*loopback is the caller's own/,
  );
  assert.match(
    (await x2istio("plan")).stdout,
    /^vms .*; 1 endpoint left out for the address: 127\.0\.0\.1 of s0: .*loopback/m,
  );
  await write("services.yaml", { services: [service("s0", "192.0.2.1")] });
  const warned = await x2istio("validate");
  assert.equal(warned.code, 0);
  assert.match(
    warned.stdout,
    /^registry vms: its legacy names "\{service\}\.corp\.example\.org" end in corp\.example\.org/m,
  );
});

test("validate: 1 for legacy names that are never given out, which plan holds", async (t) => {
  const odd = ["localhost", "wpad.corp.example.com", "single", "http://orders.example.org/"];
  const services = [{ ...service("s0", "192.0.2.1"), legacyNames: ["s0.corp.example.com", ...odd] }];
  const { x2istio, write } = await place(t, services, { registries: [registry("vms", "services.yaml")] });
  const { code, stdout } = await x2istio("validate");
  assert.equal(code, 1);
  for (const [name, why] of [
    ["localhost", /it is in localhost/],
    ["wpad.corp.example.com", /it begins with wpad/],
    ["single", /it has one label, which the registry's option singleLabels has to allow/],
    ["http://orders.example.org/", /it is a URL, .*: write the host alone, orders\.example\.org$/],
  ] as const) {
    const line = stdout.split("\n").find((one) => one.includes(JSON.stringify(name)));
    assert.match(line ?? "", /services\.yaml:\d+: legacy name .* of s0 is not given: /);
    assert.match(line ?? "", why);
  }
  const planned = await x2istio("plan");
  for (const name of odd.slice(0, 3)) assert.match(planned.stdout, new RegExp(`legacy name ${name} withheld: it `));
  assert.match(planned.stdout, /s0\.corp\.example\.com/);
  const allowed = [{ ...registry("vms", "services.yaml"), singleLabels: true }];
  await write("x2istio.yaml", { owner: "x2istio", registries: allowed });
  const again = await x2istio("validate");
  assert.ok(!again.stdout.includes('"single"') && again.stdout.includes('"localhost"'));
});
