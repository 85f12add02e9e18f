import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ConflictError } from "../../../src/errors.ts";
import type { Change } from "../../../src/model/plan.ts";
import type { StandingObject } from "../../../src/model/standing.ts";
import { faultRow } from "../../faults/row.ts";
import { ensureServers, noServers } from "../../servers/build.ts";
import { kubeServers } from "../../servers/kube.ts";
import { until } from "../../servers/kube-admin.ts";
import { addedWrites } from "../../servers/kube-writes.ts";
import { aliasOf, entryOf, entryPath, MESH, SHOP, servicePath } from "../objects.ts";
import { post } from "../rights.ts";
import { create, outcomes, suiteTarget } from "../target.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;

suite("kubernetesTarget() writes", { skip }, async () => {
  const { kube, target, open, standing, options } = await suiteTarget();
  const remove = (key: string): Change => ({ kind: "delete", standing: standing(key), why: "a test" });

  test("writes entry and alias, changes and deletes them, one request each", async () => {
    const entry = entryOf("orders");
    const alias = aliasOf("orders");
    const before = await kube.writeCount();
    const added = async () => {
      const all = addedWrites(before, await kube.writeCount());
      return Object.fromEntries(Object.entries(all).filter(([key]) => / (serviceentries|services)/.test(key)));
    };

    assert.deepEqual(outcomes(await target.write([create(alias), create(entry)], options)), [
      `create ${entry.key}: written`,
      `create ${alias.key}: written`,
    ]);
    assert.equal(standing(entry.key).writtenMs !== undefined, true);
    assert.deepEqual(standing(entry.key).manifest, entry.manifest);

    const wider = entryOf("orders", ["192.0.2.1", "192.0.2.2"]);
    assert.deepEqual(
      outcomes(await target.write([{ kind: "update", object: wider, standing: standing(entry.key) }], options)),
      [`update ${entry.key}: written`],
    );
    assert.deepEqual(standing(entry.key).manifest.spec, wider.manifest.spec);

    assert.deepEqual(outcomes(await target.write([remove(entry.key), remove(alias.key)], options)), [
      `delete ${alias.key}: written`,
      `delete ${entry.key}: written`,
    ]);
    assert.equal(target.standing().objects.has(entry.key), false);
    assert.deepEqual(await added(), {
      "POST serviceentries.networking.istio.io": 1,
      "PATCH serviceentries.networking.istio.io": 1,
      "DELETE serviceentries.networking.istio.io": 1,
      "POST services": 1,
      "DELETE services": 1,
    });
  });

  test("leaves others' labels and annotations alone", async () => {
    const entry = entryOf("noted", ["192.0.2.1"], { "x2istio.dev/empty-since": "2026-01-01T00:00:00Z" });
    await target.write([create(entry)], options);
    const path = entryPath(MESH, "noted.mesh.internal");
    await kube.request("PATCH", path, {
      metadata: { labels: { team: "shop" }, annotations: { "example.org/note": "n" } },
    });
    await until(
      "the note is seen",
      async () => standing(entry.key).manifest.metadata.annotations?.["example.org/note"] === "n",
    );
    await target.write([{ kind: "update", object: entryOf("noted"), standing: standing(entry.key) }], options);
    const { labels, annotations } = standing(entry.key).manifest.metadata;
    assert.equal(labels?.team, "shop");
    assert.deepEqual(annotations, { "x2istio.dev/service": "vms/default/noted", "example.org/note": "n" });
  });

  test("leaves somebody's Service of the same name alone", async () => {
    const alias = aliasOf("taken");
    const theirs = { metadata: { name: "taken" }, spec: { selector: { app: "taken" }, ports: [{ port: 80 }] } };
    const { metadata } = await post(kube, servicePath(SHOP), theirs);
    assert.deepEqual(outcomes(await target.write([create(alias)], options)), [`create ${alias.key}: foreign`]);
    assert.equal(target.standing().foreign.get(alias.key)?.uid, metadata.uid);
    const { body } = await kube.request<typeof theirs & { metadata: { labels?: object } }>(
      "GET",
      servicePath(SHOP, "taken"),
    );
    assert.deepEqual(body.spec.selector, { app: "taken" });
    assert.equal(body.metadata.labels, undefined);
  });

  test("calls a create of what stands already a conflict, and knows it then", async () => {
    const other = await open({}, false);
    const entry = entryOf("twice");
    await target.write([create(entry)], options);
    assert.deepEqual(outcomes(await other.write([create(entry)], options)), [`create ${entry.key}: conflict`]);
    assert.equal(other.standing().objects.get(entry.key)?.uid, standing(entry.key).uid);
  });

  test("does not touch what changed since it was read", async () => {
    const alias = aliasOf("changed");
    await target.write([create(alias)], options);
    const stale = standing(alias.key);
    await kube.request("PATCH", servicePath(SHOP, "changed"), {
      spec: { type: "ClusterIP", externalName: null, selector: { app: "changed" } },
    });
    const update: Change = { kind: "update", object: aliasOf("changed", "elsewhere.example.org"), standing: stale };
    const remove: Change = { kind: "delete", standing: stale, why: "a test" };
    assert.deepEqual(outcomes(await target.write([update], options)), [`update ${alias.key}: conflict`]);
    assert.equal(standing(alias.key).yielded !== undefined, true);
    assert.deepEqual(outcomes(await target.write([remove], options)), [`delete ${alias.key}: conflict`]);
    const { status, body } = await kube.request<{ spec: { type: string; selector: object } }>(
      "GET",
      servicePath(SHOP, "changed"),
    );
    assert.equal(status, 200);
    assert.deepEqual(body.spec.selector, { app: "changed" });
  });

  test("does not touch a namesake of what it read", async () => {
    const alias = aliasOf("reborn");
    await target.write([create(alias)], options);
    const stale = standing(alias.key);
    await kube.request("DELETE", servicePath(SHOP, "reborn"));
    assert.deepEqual(
      outcomes(
        await target.write([{ kind: "update", object: aliasOf("reborn", "x.example.org"), standing: stale }], options),
      ),
      [`update ${alias.key}: conflict`],
    );
    assert.equal(target.standing().objects.has(alias.key), false);
    assert.deepEqual(outcomes(await target.write([{ kind: "delete", standing: stale, why: "a test" }], options)), [
      `delete ${alias.key}: written`,
    ]);
    await post(kube, servicePath(SHOP), { metadata: { name: "reborn" }, spec: { ports: [{ port: 80 }] } });
    assert.deepEqual(outcomes(await target.write([{ kind: "delete", standing: stale, why: "a test" }], options)), [
      `delete ${alias.key}: conflict`,
    ]);
    assert.equal((await kube.request("GET", servicePath(SHOP, "reborn"))).status, 200);
  });

  test("never goes back behind its own writes", async () => {
    const count = (object: StandingObject | undefined) =>
      Number(object?.manifest.metadata.annotations?.["x2istio.dev/demand"] ?? -1);
    const entry = (round: number) => entryOf("rounds", ["192.0.2.1"], { "x2istio.dev/demand": String(round) });
    await target.write([create(entry(0))], options);
    const { key } = entry(0);
    const reading = new AbortController();
    const drops: string[] = [];
    const read = (async () => {
      let highest = 0;
      for (let version = target.version(); !reading.signal.aborted; version = target.version()) {
        const round = count(target.standing().objects.get(key));
        if (round < highest) drops.push(`${highest} → ${round}`);
        highest = Math.max(highest, round);
        await target.waitForChange(version, reading.signal).catch(() => {});
      }
    })();
    for (let round = 1; round <= 100; round++) {
      await target.write([{ kind: "update", object: entry(round), standing: standing(key) }], options);
      assert.equal(count(standing(key)), round);
    }
    reading.abort();
    await read;
    assert.deepEqual(drops, []);
  });

  test("sends nothing once it may not write", async () => {
    let left = 3;
    const entries = Array.from({ length: 6 }, (_, index) => entryOf(`some-${index}`));
    const { results } = await target.write(entries.map(create), { ...options, mayWrite: () => left-- > 0 });
    assert.deepEqual(results.map(({ outcome }) => outcome).sort(), [
      "skipped",
      "skipped",
      "skipped",
      "written",
      "written",
      "written",
    ]);
  });

  test(
    faultRow({
      target: "API server",
      fault: "one object is refused",
      expect: "nothing points to it, the others are written",
    }),
    async () => {
      const good = entryOf("good");
      const bad = {
        ...entryOf("bad"),
        manifest: { ...entryOf("bad").manifest, spec: { ...entryOf("bad").manifest.spec, hosts: [] } },
      };
      const report = await target.write(
        [create(bad), create(aliasOf("bad")), create(good), create(aliasOf("good"))],
        options,
      );
      assert.deepEqual(outcomes(report).sort(), [
        `create Service/${SHOP}/bad: skipped`,
        `create Service/${SHOP}/good: written`,
        `create ServiceEntry/${MESH}/bad.mesh.internal: failed`,
        `create ServiceEntry/${MESH}/good.mesh.internal: written`,
      ]);
      const failed = report.results.find(({ outcome }) => outcome === "failed");
      assert.match(
        String(failed?.error),
        /Cannot create ServiceEntry mesh-services\/bad\.mesh\.internal: 422 Invalid: .*spec\.hosts/,
      );
    },
  );

  test("keeps an entry as long as its alias could not be deleted", async () => {
    await target.write([create(entryOf("held")), create(aliasOf("held"))], options);
    const stale = standing(`Service/${SHOP}/held`);
    await kube.request("PATCH", servicePath(SHOP, "held"), { metadata: { annotations: { "example.org/note": "n" } } });
    const report = await target.write(
      [remove(entryOf("held").key), { kind: "delete", standing: stale, why: "a test" }],
      options,
    );
    assert.deepEqual(outcomes(report), [
      `delete Service/${SHOP}/held: conflict`,
      `delete ${entryOf("held").key}: skipped`,
    ]);
  });

  test("writes the ledger under resourceVersion", async () => {
    const name = "x2istio-vips-240-241-0-0";
    const block = () => target.standing().ledger.get(name);
    await target.writeLedger(
      [{ name, resourceVersion: "", data: { "240.241.0.1": "a", "240.241.0.2": "b" } }],
      options,
    );
    const first = block();
    assert.deepEqual(first?.data, { "240.241.0.1": "a", "240.241.0.2": "b" });
    await target.writeLedger(
      [{ name, resourceVersion: first?.resourceVersion ?? "", data: { "240.241.0.2": "c", "240.241.0.3": "d" } }],
      options,
    );
    assert.deepEqual(block()?.data, { "240.241.0.2": "c", "240.241.0.3": "d" });

    const other = await open({}, false);
    const read = other.standing().ledger.get(name);
    await target.writeLedger(
      [{ name, resourceVersion: block()?.resourceVersion ?? "", data: { "240.241.0.2": "e" } }],
      options,
    );
    const next = "x2istio-vips-240-241-16-0";
    const stale = other.writeLedger(
      [
        { name, resourceVersion: read?.resourceVersion ?? "", data: { "240.241.0.2": "mine" } },
        { name: next, resourceVersion: "", data: { "240.241.16.1": "f" } },
      ],
      options,
    );
    await assert.rejects(stale, (error) => error instanceof ConflictError && error.message.includes(name));
    assert.deepEqual(other.standing().ledger.get(name)?.data, { "240.241.0.2": "e" });
    assert.deepEqual(other.standing().ledger.get(next)?.data, { "240.241.16.1": "f" });
    await assert.rejects(target.writeLedger([{ name: next, resourceVersion: "", data: {} }], options), ConflictError);
    assert.deepEqual(target.standing().ledger.get(next)?.data, { "240.241.16.1": "f" });
    const withheld = target.writeLedger([{ name, resourceVersion: block()?.resourceVersion ?? "", data: {} }], {
      ...options,
      mayWrite: () => false,
    });
    await assert.rejects(withheld, (error) => !(error instanceof ConflictError));
  });
});
