import assert from "node:assert/strict";
import { test } from "node:test";
import { freePorts, ready, startReplica } from "../e2e/cli.ts";
import { place, service, services } from "./folder.ts";

test("dry-run writes nothing: apply, prune and run", async (t) => {
  const dryRun = { policy: { mode: "dry-run" } };
  const { config, x2istio, configure, write, files, objects } = await place(t, services(2), dryRun);
  const first = await x2istio("apply");
  assert.equal(first.code, 0);
  assert.match(first.stdout, /^2 to create, .* Nothing was written: policy\.mode is dry-run\.$/m);
  assert.deepEqual(await files(), []);

  await configure({});
  assert.equal((await x2istio("apply")).code, 0);
  const stood = await files();
  const entry = stood.filter((file) => file.endsWith("s0.default.vms.mesh.internal.yaml")).join();
  const before = await objects(entry);
  await configure({ ...dryRun, registries: [] });
  const pruned = await x2istio("prune", "--registry", "vms");
  assert.equal(pruned.code, 0);
  assert.match(pruned.stdout, /2 objects would be deleted\. Nothing was written\./);
  assert.deepEqual(await files(), stood);

  // It may run beside the one that writes: it takes no lock either.
  const [writer, reader] = [await freePorts(), await freePorts()];
  const listen = ({ dns, http }: typeof writer) => ({
    dns: { listen: [`127.0.0.1:${dns}`] },
    http: { listen: `127.0.0.1:${http}` },
  });
  await configure(listen(writer));
  const running = startReplica(t, { config, ports: writer });
  await ready(running);
  const other = config.replace("x2istio.yaml", "dry.yaml");
  await write("dry.yaml", {
    registries: [{ kind: "static", name: "vms", file: "other.yaml" }],
    ...dryRun,
    ...listen(reader),
  });
  await write("other.yaml", { services: [service("s0", "192.0.2.99"), service("s9", "192.0.2.9")] });
  const watching = startReplica(t, { config: other, ports: reader });
  await ready(watching);
  assert.equal(await watching.stop(), 0);
  assert.equal(await running.stop(), 0);
  assert.deepEqual(await files(), stood);
  assert.deepEqual(await objects(entry), before);
});

test("upsert-only never deletes or tombstones the vanished; emptying a service that is listed is an upsert", async (t) => {
  const upsertOnly = { policy: { mode: "upsert-only", keepEmpty: "0s" } };
  const aliases = [{ registry: "vms", service: "s0", as: "{service}", in: "shop" }];
  const { x2istio, write, objects, configure } = await place(t, services(3), { ...upsertOnly, aliases });
  assert.equal((await x2istio("apply")).code, 0);
  const file = (name: string) => `mesh-services/${name}.default.vms.mesh.internal.yaml`;
  const before = await objects(file("s2"));
  await write("services.yaml", { services: [service("s0", "192.0.2.1"), service("s1")] });
  const { code, stdout } = await x2istio("apply");
  assert.equal(code, 3);
  assert.match(stdout, /^! s2\.default\.vms\.mesh\.internal .*policy\.mode is upsert-only/m);
  assert.deepEqual(await objects(file("s2")), before);
  const [emptied] = await objects(file("s1"));
  assert.ok(emptied?.metadata.annotations?.["x2istio.dev/empty-since"]);
  assert.deepEqual(emptied.spec?.endpoints, []);

  // An alias whose rule was removed is deleted at once, in every mode.
  assert.equal((await objects(file("s0"))).length, 2);
  await configure(upsertOnly);
  await x2istio("apply");
  assert.equal((await objects(file("s0"))).length, 1);
});
