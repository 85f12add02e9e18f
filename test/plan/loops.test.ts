import assert from "node:assert/strict";
import { test } from "node:test";
import type { Snapshot } from "../../src/model/adapter.ts";
import type { Service } from "../../src/model/service.ts";
import { withoutLoops } from "../../src/plan/loops.ts";
import { faultRow } from "../faults/row.ts";
import { endpoint, failed, service, snapshot } from "./build.ts";

const clean = withoutLoops(["240.241.0.0/16", "fd00:1::/64"]);

const servicesOf = ({ services }: Snapshot): readonly Service[] =>
  services.flatMap((read) => (read.state === "ok" ? [read.service] : []));

test(
  faultRow({
    target: "Consul",
    fault: "an endpoint has a VIP as its address: a loop through the mesh",
    expect: "it is left out, with the reason in explain",
  }),
  () => {
    const cases = ["240.241.0.1", "240.241.255.254", "240.240.3.4", "fd00:1::7", "2001:2::1"];
    for (const address of cases) {
      const one = service("orders", { endpoints: [endpoint("192.0.2.1"), endpoint(address)] });
      const [cleaned] = servicesOf(clean(snapshot("dc1", [one])));
      assert.deepEqual(cleaned?.endpoints, [endpoint("192.0.2.1")], address);
      assert.equal(cleaned?.leftOut[0]?.address, address);
      assert.equal(cleaned?.leftOut[0]?.kind, "address");
    }
  },
);

test("withoutLoops() keeps the identity of all else, from snapshot to snapshot", () => {
  const sound = service("a", { endpoints: [endpoint("192.0.2.1"), endpoint("2001:db8::1"), endpoint("10.9.8.7")] });
  const whole = snapshot("dc1", [sound, failed("dc1/shop/b")]);
  assert.equal(clean(whole), whole);
  const looping = service("c", { endpoints: [endpoint("240.241.0.9")] });
  const [first, second] = [clean(snapshot("dc1", [sound, looping])), clean(snapshot("dc1", [sound, looping]))];
  assert.equal(servicesOf(first)[0], sound);
  assert.equal(servicesOf(first)[1], servicesOf(second)[1]);
  assert.deepEqual(servicesOf(first)[1]?.endpoints, []);
});
