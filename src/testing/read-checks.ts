import assert from "node:assert/strict";
import { serviceKey } from "../model/service.ts";
import { type Check, FIXTURE, FURTHER, fill, GROWN, mustKeep, mustSpeakOf } from "./fixture.ts";
import { differentServices, firstDifference, probeOf } from "./probe.ts";

/** What a read must say. */
export const readChecks: readonly Check[] = [
  {
    name: "reads a registry without services as empty, not as failed",
    async run(probe) {
      await probe.untilEndpoints({});
    },
  },
  {
    name: "reads every service with all its endpoints",
    async run(probe) {
      await fill(probe);
    },
  },
  {
    name: "gives the same objects, order and revision while nothing changes",
    async run(probe) {
      const before = await fill(probe);
      for (const trigger of ["poll", "hint", "poll"] as const) {
        const { view } = await probe.read(trigger);
        assert.ok(view, "an unchanged registry must be readable");
        const difference = firstDifference(before, view);
        assert.equal(difference, undefined, `on a ${trigger} nothing had changed, but ${difference}`);
      }
    },
  },
  {
    name: "gives a new object for what has changed, and for nothing else",
    async run(probe) {
      const before = await fill(probe);
      await probe.world.addEndpoint("orders", FURTHER);
      const added = await probe.untilEndpoints(GROWN);
      mustKeep(before, added, ["payments", "stock"]);
      assert.notEqual(added.ok.get("orders"), before.ok.get("orders"), "orders has changed and is the same object");
      assert.notEqual(added.snapshot.revision, before.snapshot.revision, "orders has changed and the revision has not");
      await probe.world.removeEndpoint("orders", FURTHER);
      mustKeep(before, await probe.untilEndpoints(FIXTURE), ["payments", "stock"]);
    },
  },
  {
    name: "leaves out a service that is gone, and nothing else",
    async run(probe) {
      const before = await fill(probe);
      await probe.world.removeService("payments");
      const { orders, stock } = FIXTURE;
      mustKeep(before, await probe.untilEndpoints({ orders, stock }), ["orders", "stock"]);
    },
  },
  {
    name: "never changes a snapshot that it has handed over",
    async run(probe) {
      const before = await fill(probe);
      const copy = structuredClone(before.snapshot);
      await probe.world.addEndpoint("orders", FURTHER);
      await probe.world.removeService("stock");
      await probe.untilEndpoints({ orders: GROWN.orders, payments: FIXTURE.payments });
      assert.deepEqual(before.snapshot, copy);
    },
  },
  {
    name: "throws, or says that it is incomplete, when the list cannot be read: failed is not empty",
    async run(probe) {
      const before = await fill(probe);
      const restore = await probe.world.breakList();
      await probe.until("a list that cannot be read must throw or be incomplete", ({ view }) => {
        if (view === undefined || view.snapshot.incomplete !== undefined) return true;
        for (const name of Object.keys(FIXTURE)) mustSpeakOf(view, name);
        return false;
      });
      await restore();
      mustKeep(before, await probe.untilEndpoints(FIXTURE), Object.keys(FIXTURE));
    },
  },
  {
    name: "fails one service that cannot be read, and no other: failed is not absent",
    needs: "breakService",
    async run(probe) {
      const before = await fill(probe);
      const restore = await probe.world.breakService?.("payments");
      await probe.until("payments must be a failed read", ({ view }) => {
        assert.ok(view, "one service that cannot be read must not fail the others");
        mustSpeakOf(view, "payments");
        mustKeep(before, view, ["orders", "stock"]);
        return view.failed.has("payments");
      });
      await restore?.();
      mustKeep(before, await probe.untilEndpoints(FIXTURE), Object.keys(FIXTURE));
    },
  },
  {
    name: "takes a service that it may not see any more for unread, also as a new process: denied is not gone",
    needs: "denyService",
    async run(probe) {
      const { ok } = await fill(probe);
      const keys = [...ok.values()].map((one) => serviceKey(one.registry, one.namespace, one.name));
      const restore = await probe.world.denyService?.("payments");
      const adapter = await probe.world.another?.();
      assert.ok(adapter, "a world with denyService must have another");
      const other = probeOf({ ...probe.world, adapter }, probe.waitMs, keys);
      for (const { until } of [probe, other])
        await until("payments must be a failed read, or the list incomplete", ({ view }) => {
          if (view === undefined || view.snapshot.incomplete !== undefined) return true;
          mustSpeakOf(view, "payments");
          return view.failed.has("payments");
        });
      await restore?.();
      await probe.world.removeService("payments");
      const { orders, stock } = FIXTURE;
      await other.untilEndpoints({ orders, stock });
    },
  },
  {
    name: "leaves out an endpoint that is not healthy, and says why",
    needs: "setHealthy",
    async run(probe) {
      await fill(probe);
      const [address, other] = FIXTURE.orders;
      await probe.world.setHealthy?.("orders", address, false);
      const { ok } = await probe.untilEndpoints({ ...FIXTURE, orders: [other] });
      const out = ok.get("orders")?.leftOut ?? [];
      assert.ok(
        out.some((one) => one.address.includes(address)),
        `leftOut must name ${address}`,
      );
      await probe.world.setHealthy?.("orders", address, true);
      await probe.untilEndpoints(FIXTURE);
    },
  },
  {
    name: "takes another order of the registry for no change",
    needs: "shuffle",
    async run(probe) {
      const before = await fill(probe);
      await probe.world.shuffle?.();
      const difference = differentServices(before, await probe.stable());
      assert.equal(difference, undefined, `only the registry's order had changed, but ${difference}`);
    },
  },
];
