import assert from "node:assert/strict";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { MANAGED_BY, MANAGED_BY_LABEL, OWNER_LABEL } from "../../src/model/objects.ts";
import { alias, allFiles, create, entry, fileOf, foreignEntry, inWorld, keyOf, outcomes } from "./world.ts";

const inTheWay: readonly { readonly name: string; readonly content: string | Buffer; readonly warns?: RegExp }[] = [
  { name: "a file of another kind", content: "kind: Kustomization\n" },
  { name: "an empty file", content: "" },
  { name: "someone else's ServiceEntry", content: foreignEntry },
  {
    name: "another owner's file",
    content: JSON.stringify({
      ...entry("orders"),
      metadata: { ...entry("orders").metadata, labels: { [MANAGED_BY_LABEL]: MANAGED_BY, [OWNER_LABEL]: "west" } },
    }),
  },
  { name: "broken YAML", content: "kind: ServiceEntry\nmetadata: [\n", warns: /^line 3: / },
  { name: "what is not UTF-8", content: Buffer.from([0x61, 0xff]), warns: /UTF-8/ },
];
for (const { name, content, warns } of inTheWay) {
  test(`${name} in the place of ours is never overwritten, and holds the entry`, () =>
    inWorld(async ({ path, open, warnings }) => {
      await mkdir(join(path, "mesh-services"), { recursive: true });
      await writeFile(fileOf(path, "orders"), content);
      const target = await open();
      assert.ok(target.standing().foreign.has(keyOf(entry("orders"))));
      assert.deepEqual(
        await outcomes(target, [create(alias("orders")), create(entry("orders")), create(entry("stock"))]),
        ["Service skipped", "ServiceEntry foreign", "ServiceEntry written"],
      );
      assert.deepEqual(await readFile(fileOf(path, "orders")), Buffer.from(content));
      if (warns === undefined) return assert.deepEqual(warnings, []);
      assert.equal(warnings.length, 1);
      assert.match((warnings[0] as { problem: string }).problem, warns);
      assert.equal((warnings[0] as { file: string }).file, fileOf(path, "orders"));
    }));
}

test("a file that appears after the start is not overwritten either", () =>
  inWorld(async ({ path, open }) => {
    const target = await open();
    await mkdir(join(path, "mesh-services"), { recursive: true });
    await writeFile(fileOf(path, "orders"), "mine: true\n");
    assert.deepEqual(await outcomes(target, [create(entry("orders"))]), ["ServiceEntry foreign"]);
    assert.equal(await readFile(fileOf(path, "orders"), "utf8"), "mine: true\n");
  }));

test("a symbolic link in the place of ours is not followed", () =>
  inWorld(async ({ path, open }) => {
    await mkdir(join(path, "mesh-services"), { recursive: true });
    await writeFile(join(dirname(path), "elsewhere.yaml"), "mine: true\n");
    await symlink(join(dirname(path), "elsewhere.yaml"), fileOf(path, "orders"));
    const target = await open();
    assert.deepEqual(await outcomes(target, [create(entry("orders"))]), ["ServiceEntry foreign"]);
    assert.equal(await readFile(join(dirname(path), "elsewhere.yaml"), "utf8"), "mine: true\n");
  }));

test("someone else's objects anywhere in the folder are foreign, with hosts and addresses", () =>
  inWorld(async ({ path, open }) => {
    await mkdir(join(path, "apps", "base"), { recursive: true });
    await writeFile(
      join(path, "apps", "base", "all.yml"),
      [
        foreignEntry,
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {clusterIP: 10.96.0.9}\n",
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: knative}\n",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec: {parentRefs: [{kind: ServiceEntry, name: a.b}]}\n",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v}\nspec: {hosts: [c.d]}\n",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: edge}\nspec: {hosts: [e.f], gateways: [istio-system/edge]}\n",
      ].join("---\n"),
    );
    await mkdir(join(path, ".git"));
    await writeFile(join(path, ".git", "x.yaml"), foreignEntry.replace("theirs,", "hidden,"));
    const { foreign, objects } = (await open()).standing();
    assert.equal(objects.size, 0);
    assert.deepEqual(
      [...foreign].map(([key, { hosts, addresses }]) => [key, hosts, addresses]),
      [
        ["ServiceEntry/mesh-services/theirs", ["theirs.example.org"], ["240.241.0.9"]],
        ["Service/shop/web", ["web"], ["10.96.0.9"]],
        ["HTTPRoute/default/r", ["a.b"], []],
        ["VirtualService/default/v", ["c.d"], []],
        ["VirtualService/default/edge", [], []],
      ],
    );
    assert.deepEqual(await outcomes(await open(), [create(entry("web")), create(alias("web"))]), [
      "ServiceEntry written",
      "Service foreign",
    ]);
  }));

test("an address of someone else's counts as taken in any spelling", () =>
  inWorld(async ({ path, open }) => {
    await mkdir(path, { recursive: true });
    await writeFile(join(path, "theirs.yaml"), foreignEntry.replace("240.241.0.9", '"2001:DB8:0::9/128"'));
    const { foreign } = (await open()).standing();
    assert.deepEqual(foreign.get("ServiceEntry/mesh-services/theirs")?.addresses, ["2001:db8::9"]);
  }));

test("two owners share a folder and leave each other alone", () =>
  inWorld(async ({ path, open }) => {
    const east = await open();
    await outcomes(east, [create(entry("orders"))]);
    const west = await open({ owner: "west" });
    assert.equal(west.standing().objects.size, 0);
    assert.equal(west.standing().foreign.get(keyOf(entry("orders")))?.owner, "east");
    assert.deepEqual(await outcomes(west, [create(entry("orders"))]), ["ServiceEntry foreign"]);
    assert.equal((await allFiles(path)).length, 1);
  }));
