import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { type Kube, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { auditedWrites, operators } from "./audit.ts";
import { type Replica, ready, startReplica } from "./cli.ts";
import { entriesPath, get, type Live, MESH } from "./cluster.ts";
import { fixture } from "./fixture.ts";

/** A ServiceEntry's spec as it is compared here. */
export interface Spec {
  readonly hosts: readonly string[];
  readonly addresses?: readonly string[];
  readonly ports: readonly { readonly name: string; readonly number: number; readonly protocol: string }[];
  readonly endpoints?: readonly Place[];
}

/** An endpoint. */
export interface Place {
  readonly address: string;
  readonly ports?: Readonly<Record<string, number>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly weight?: number;
  readonly locality?: string;
}

/** What an entry has to be. A field that an expected endpoint or port does not name may be anything; `undefined` is none. */
export interface Expected {
  readonly endpoints?: readonly (Pick<Place, "address"> & {
    readonly [Field in keyof Place]?: Place[Field] | undefined;
  })[];
  readonly ports?: readonly Partial<Spec["ports"][number]>[];
  /** Whether it is a tombstone; it must not be one by default. */
  readonly gone?: boolean;
}

/** x2istio beside an API server, with the entries that it writes there. */
export interface Mesh {
  readonly kube: Kube;
  readonly replica: Replica;
  entry(host: string): Promise<Live<Spec> | undefined>;
  /** Wait until the entry is so. */
  becomes(host: string, expected: Expected): Promise<Live<Spec>>;
  /** Do one thing to the registry that is to change one entry by one write, or by at most `most`. Its VIP stays. */
  change(host: string, act: () => Promise<unknown>, expected: Expected, most?: number): Promise<void>;
  /** Entries that were written as a whole, whatever happened: to be compared with those from a time before. */
  all(): Promise<Map<string, Live<Spec>>>;
  /** One sample of /metrics; `name{label="value"}` */
  metric(sample: string): Promise<number | undefined>;
  /** Hosts that were written another number of times than `change`, and `becomes` for the first, account for. */
  unaccounted(): Promise<string[]>;
}

const USER = "writer";

/** Start an API server and `x2istio run` on these registries. Host names are `<service>.default.<registry>.mesh.internal`. */
export async function startMesh(
  t: TestContext,
  registries: readonly object[],
  sections: Readonly<Record<string, unknown>> = {},
): Promise<Mesh & { readonly dir: string; setConfig(sections: object): Promise<void> }> {
  const kube = await startKube({ audit: true, namespaces: [MESH] });
  t.after(() => kube.stop());
  const { [USER]: user } = await operators(kube, USER);
  const place = await fixture(t, [], { registries, aliases: [], ...sections });
  const replica = startReplica(t, { ...place, env: { KUBECONFIG: await kube.kubeconfigFor(user.token) } });
  await ready(replica);

  const writes = new Map<string, { readonly least: number; readonly most: number }>();
  const entry = async (host: string) => (await get(kube, `${entriesPath()}/${host}`)) as Live<Spec> | undefined;
  async function becomes(host: string, expected: Expected): Promise<Live<Spec>> {
    let last: Live<Spec> | undefined;
    const shown = () => JSON.stringify({ spec: last?.spec, annotations: last?.metadata.annotations });
    try {
      await until(`${host} is ${JSON.stringify(expected)}`, async () => {
        last = await entry(host);
        return isAs(last, expected);
      });
    } catch (error) {
      throw new Error(`${(error as Error).message}; it is ${shown()}`);
    }
    if (!writes.has(host)) writes.set(host, { least: 1, most: 1 });
    return last as Live<Spec>;
  }
  return {
    kube,
    replica,
    dir: place.dir,
    setConfig: place.setConfig,
    entry,
    becomes,
    async change(host, act, expected, most = 1) {
      const before = await entry(host);
      assert.ok(before, `${host} stands`);
      await act();
      const after = await becomes(host, expected);
      assert.notEqual(
        after.metadata.resourceVersion,
        before.metadata.resourceVersion,
        `${host} was expected so before`,
      );
      assert.deepEqual(after.spec.addresses, before.spec.addresses, "its VIP stays");
      assert.equal(after.metadata.uid, before.metadata.uid);
      const so = writes.get(host) ?? { least: 1, most: 1 };
      writes.set(host, { least: so.least + 1, most: so.most + most });
    },
    async all() {
      const { body } = await kube.request<{ readonly items: readonly Live<Spec>[] }>("GET", entriesPath());
      return new Map(body.items.map((item) => [item.metadata.name, item]));
    },
    async metric(sample) {
      const text = await (await fetch(`${replica.http}/metrics`)).text();
      const line = text.split("\n").find((one) => one.startsWith(`${sample} `));
      return line === undefined ? undefined : Number(line.slice(sample.length));
    },
    async unaccounted() {
      const all = await auditedWrites(kube, new Set([user.user]));
      const hosts = all
        .filter(({ resource }) => resource === "serviceentries")
        .map(({ object }) => object.split("/")[2]);
      return [...writes].flatMap(([host, { least, most }]) => {
        const seen = hosts.filter((one) => one === host).length;
        return seen >= least && seen <= most ? [] : [`${host}: ${seen} writes instead of ${least} to ${most}`];
      });
    },
  };
}

function isAs(live: Live<Spec> | undefined, { endpoints, ports, gone = false }: Expected): boolean {
  if (live === undefined) return false;
  const isGone = live.metadata.annotations?.["x2istio.dev/gone-since"] !== undefined;
  return (
    isGone === gone &&
    (endpoints === undefined || haveAll(live.spec.endpoints ?? [], endpoints)) &&
    (ports === undefined || haveAll(live.spec.ports, ports))
  );
}

/** Whether both are as many, and each expected one is found. */
function haveAll(actual: readonly object[], expected: readonly object[]): boolean {
  return (
    actual.length === expected.length &&
    expected.every((want) =>
      actual.some((have) =>
        Object.entries(want).every(([field, value]) =>
          isDeepStrictEqual((have as Readonly<Record<string, unknown>>)[field], value),
        ),
      ),
    )
  );
}
