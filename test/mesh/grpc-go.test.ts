import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { get, MESH, SHOP } from "../e2e/cluster.ts";
import { until } from "../servers/kube-admin.ts";
import { sized } from "../size.ts";
import { echoLoad, echoServer } from "./echo.ts";
import type { Manifest } from "./manifests.ts";
import type { Mesh } from "./mesh.ts";
import {
  allAnswer,
  type Callers,
  callOnAndOn,
  INSIDE,
  LEGACY,
  type Move,
  ORDERS,
  PORTS,
  slicesAt,
  startCallers,
  startMove,
} from "./move.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();

/** Of each of six clients. */
const PER_SECOND = 100;
const OTHERS = { http: 60, tcp: 30, grpc: 60 };
/** Before each next step. */
const CALLS = 1500;
const REPLACEMENT = "orders-v2.shop.svc.cluster.local";

/** Calls of grpc-go, by three names, with and without Istio's agent, to a service that may be moved. */
interface GoCalls {
  /** Until so many more calls have been answered, some of them by `who` on every channel. */
  answered(more: number, who: string): Promise<void>;
  /** How many have been answered. */
  count(): Promise<number>;
  /** Those that failed, by name. */
  failed(): Promise<Readonly<Record<string, unknown>>>;
}

async function callByGo(mesh: Mesh): Promise<GoCalls> {
  const names = { host: ORDERS.host, alias: "orders.shop.svc.cluster.local", legacy: LEGACY };
  const started = async (kind: string, name: string, hasAgent: boolean) => {
    const pod = await mesh.pod(`go-${kind}`);
    const bootstrap = hasAgent ? (await mesh.agent(pod)).grpcBootstrap : undefined;
    return [kind, await echoLoad(pod, `xds:///${name}:${PORTS.grpc}`, PER_SECOND, bootstrap)] as const;
  };
  const loads = await Promise.all(
    Object.entries(names).flatMap(([kind, name]) => [started(kind, name, false), started(`${kind}-agent`, name, true)]),
  );
  const sums = () => Promise.all(loads.map(async ([kind, load]) => [kind, await load.sum()] as const));
  const count = async () =>
    (await sums()).flatMap(([, { who }]) => Object.values(who)).reduce((total, calls) => total + calls, 0);
  return {
    async answered(more, who) {
      const [before, calls] = [await sums(), await count()];
      await until(`${more} more calls, by ${who}, too`, async () => {
        const after = await sums();
        const has = after.every(([, now], at) => (now.who[who] ?? 0) > (before[at]?.[1].who[who] ?? 0));
        return has && (await count()) - calls >= more;
      });
    },
    count,
    failed: async () => Object.fromEntries((await sums()).map(([kind, { failed }]) => [kind, failed])),
  };
}

/** Everyone calls, and the Service in the cluster answers gRPC by a server of Istio's: there both sides are grpc-go. */
async function everyoneCalls({ mesh, report }: Move): Promise<{ readonly go: GoCalls; readonly callers: Callers }> {
  const inside = await echoServer(await mesh.pod("orders-v2"), "inside", PORTS.grpc);
  await mesh.apply(...slicesAt(INSIDE, inside));
  const callers = await startCallers(mesh);
  assert.equal((await report()).status, 200);
  await allAnswer(mesh, callers, "outside");
  await callOnAndOn(callers, OTHERS);
  const go = await callByGo(mesh);
  await go.answered(CALLS, "outside");
  return { go, callers };
}

async function assertNoneFailed(t: TestContext, go: GoCalls, callers: Callers): Promise<void> {
  const others = Object.entries(await callers.take());
  t.diagnostic(`${await go.count()} calls of grpc-go; beside them ${JSON.stringify(others.map(([, { who }]) => who))}`);
  for (const [kind, failed] of Object.entries(await go.failed())) assert.deepEqual(failed, {}, kind);
  for (const [kind, { failed }] of others) assert.deepEqual(failed, {}, kind);
}

test("grpc-go, grpc-js and Envoy lose no call while a service is moved inside, back, inside again and retired", {
  skip,
}, async (t) => {
  const move = await startMove(t);
  const { consul, migrate, x2istio } = move;
  const { go, callers } = await everyoneCalls(move);
  const walk = [
    ["split", "--weight", "10"],
    ["split", "--weight", "50"],
    ["split", "--weight", "100"],
    ["move"],
    ["back"],
    ["move"],
  ] as const;
  for (let round = 0; round < sized(1, { quick: 1, full: 5 }); round++) {
    if (round > 0) await migrate("back", ORDERS.key);
    for (const [command, ...options] of walk) {
      await migrate(command, ORDERS.key, ...options);
      await go.answered(CALLS, command === "back" ? "outside" : "inside");
    }
  }
  await consul.deregister({ id: "orders" });
  await until("it can be retired", async () => {
    const preview = await x2istio("migrate", "retire", ORDERS.key, "--dry-run").catch(String);
    return /inside → retired/.test(preview) && !/stays inside/.test(preview);
  });
  await migrate("retire", ORDERS.key);
  await go.answered(CALLS, "inside");
  await assertNoneFailed(t, go, callers);
});

/** A team's own routes: so many percent of its calls go inside, and what no call takes announces that they may. */
function theirRoutes(weight: number): Manifest {
  const http = [PORTS.http, PORTS.grpc].flatMap((number) => {
    const to = (host: string, share: number) => ({ destination: { host, port: { number } }, weight: share });
    const never = { "x-announced": {} };
    const shares = [to(ORDERS.host, 100 - weight), to(REPLACEMENT, weight)];
    return [
      {
        match: [{ port: number, headers: never, withoutHeaders: never }],
        route: [to(ORDERS.host, 1), to(REPLACEMENT, 1)],
      },
      { match: [{ port: number }], route: shares.filter(({ weight: share }) => share > 0) },
    ];
  });
  return {
    apiVersion: "networking.istio.io/v1",
    kind: "VirtualService",
    metadata: { name: "orders", namespace: SHOP },
    spec: { hosts: [ORDERS.host, LEGACY], http },
  };
}

test("nor do they where a team moves it by a VirtualService of its own that takes the place of ours", {
  skip,
}, async (t) => {
  const move = await startMove(t);
  const { mesh } = move;
  const { go, callers } = await everyoneCalls(move);
  await mesh.apply(theirRoutes(0));
  const ours = `/apis/networking.istio.io/v1/namespaces/${MESH}/virtualservices/${ORDERS.host}`;
  await until("ours is gone", async () => (await get(mesh.kube, ours)) === undefined);
  await mesh.istiod.settled();
  for (const weight of [
    10,
    50,
    100,
    50,
    0,
    ...Array.from({ length: sized(1, { quick: 1, full: 15 }) }, () => [100, 0]),
  ].flat()) {
    await mesh.apply(theirRoutes(weight));
    await go.answered(CALLS, weight > 0 ? "inside" : "outside");
  }
  await assertNoneFailed(t, go, callers);
});
