import assert from "node:assert/strict";
import { test } from "node:test";
import { addedWrites, countWrites, parseAuditLog } from "./kube-writes.ts";

const line = (labels: Record<string, string>, value: number) => {
  const all = {
    code: "200",
    component: "apiserver",
    dry_run: "",
    group: "",
    resource: "services",
    subresource: "",
    ...labels,
  };
  return `apiserver_request_total{${Object.entries(all).map(([name, text]) => `${name}="${text}"`)}} ${value}`;
};

const cases = [
  { name: "a resource of the core group", lines: [line({ verb: "POST" }, 2)], want: { "POST services": 2 } },
  {
    name: "a subresource",
    lines: [line({ verb: "PUT", subresource: "status" }, 1)],
    want: { "PUT services/status": 1 },
  },
  {
    name: "all answers of one resource together",
    lines: [
      line({ verb: "APPLY", group: "networking.istio.io", resource: "serviceentries" }, 3),
      line({ verb: "APPLY", group: "networking.istio.io", resource: "serviceentries", code: "409" }, 4),
    ],
    want: { "APPLY serviceentries.networking.istio.io": 7 },
  },
  {
    name: "large values",
    lines: [line({ verb: "DELETE" }, 0).replace(/0$/, "1.5e+06")],
    want: { "DELETE services": 1_500_000 },
  },
  { name: "no dry runs", lines: [line({ verb: "POST", dry_run: "All" }, 1)], want: {} },
  { name: "no reads", lines: [line({ verb: "LIST" }, 1), line({ verb: "WATCH" }, 1)], want: {} },
  {
    name: "no other metrics",
    lines: ["# TYPE apiserver_request_total counter", 'apiserver_request_slo{verb="POST"} 1'],
    want: {},
  },
];
for (const { name, lines, want } of cases) {
  test(`countWrites() counts ${name}`, () => {
    assert.deepEqual(countWrites(`${lines.join("\n")}\n`), want);
  });
}

test("addedWrites() names what changed", () => {
  assert.deepEqual(addedWrites({ "POST a": 1, "POST b": 2 }, { "POST a": 1, "POST b": 5, "POST c": 1 }), {
    "POST b": 3,
    "POST c": 1,
  });
});

test("parseAuditLog() leaves out a line that is still being written", () => {
  assert.deepEqual(
    parseAuditLog('{"verb":"create"}\n{"verb":"upd').map(({ verb }) => verb),
    ["create"],
  );
  assert.deepEqual(parseAuditLog(""), []);
});
