import assert from "node:assert/strict";
import { test } from "node:test";
import { adapters } from "../../adapters/adapters.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { warningsOf } from "../../src/config/warnings.ts";

const refused = [
  ["0.0.0.0/8", /overlaps 0\.0\.0\.0\/8, which has the unspecified address/],
  ["127.1.0.0/16", /overlaps 127\.0\.0\.0\/8, loopback/],
  ["169.254.10.0/24", /overlaps 169\.254\.0\.0\/16, link-local/],
  ["239.1.0.0/16", /overlaps 224\.0\.0\.0\/4, multicast/],
  ["255.255.255.0/24", /overlaps 255\.255\.255\.255\/32, broadcast/],
  ["255.0.0.0/8", /overlaps 255\.255\.255\.255\/32, broadcast/],
  ["240.240.9.0/24", /overlaps 240\.240\.0\.0\/16, from which Istio's own allocator/],
  ["fe80::/64", /overlaps fe80::\/10, link-local/],
  ["ff05::/64", /overlaps ff00::\/8, multicast/],
  ["::/64", /overlaps ::\/96, which has/],
] as const;
for (const [range, want] of refused)
  for (const [text, path] of [
    [`vips: {ranges: ["${range}"]}`, "vips\\.ranges\\[0\\]"],
    [`registries: [{kind: static, name: vms, file: a, ranges: ["${range}"]}]`, "registries\\[0\\]\\.ranges\\[0\\]"],
  ] as const)
    test(`parseConfig() refuses ${text}`, () => {
      const message = (error: Error) =>
        want.test(error.message) && new RegExp(`x\\.yaml:1:\\d+ ${path}: `).test(error.message);
      assert.throws(() => parseConfig(text, "x.yaml", { env: {}, adapters }), message);
    });

const doubtful = [
  ["192.0.2.0/24", /documentation/],
  ["203.0.113.0/25", /documentation/],
  ["2001:db8:1::/64", /overlaps 2001:db8::\/32, which is for documentation/],
  ["10.96.0.0/16", /private networks are, .* x2istio doctor/],
  ["192.168.1.0/24", /private networks/],
  ["100.64.0.0/16", /private networks/],
  ["8.8.8.0/24", /has addresses of the Internet/],
  ["2600::/64", /has addresses of the Internet/],
  ["240.241.0.0/16", undefined],
  ["254.0.0.0/16", undefined],
  ["fd00:241::/64", undefined],
] as const;
for (const [range, want] of doubtful)
  test(`warningsOf() vips.ranges ${range}: ${want === undefined ? "nothing" : "a warning"}`, () => {
    const config = parseConfig(`vips: {ranges: ["${range}"]}`, "x.yaml", { env: {}, adapters });
    const found = warningsOf(config);
    assert.equal(found.length, want === undefined ? 0 : 1);
    if (want === undefined) return;
    assert.match(found[0]?.message ?? "", want);
    assert.deepEqual(found[0]?.path, ["vips", "ranges", 0]);
  });

test("warningsOf() ranges of a registry's own", () => {
  const text = "registries: [{kind: static, name: vms, file: a, ranges: [198.51.100.0/24]}]";
  const [found] = warningsOf(parseConfig(text, "x.yaml", { env: {}, adapters }));
  assert.deepEqual(found?.path, ["registries", 0, "ranges", 0]);
});
