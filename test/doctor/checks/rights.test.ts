import assert from "node:assert/strict";
import { test } from "node:test";
import { neededRights } from "../../../src/doctor/checks/rights.ts";
import { diagnose } from "../../../src/doctor/diagnose.ts";
import { CHECKS } from "../../../src/doctor/finding.ts";
import type { Right } from "../../../src/model/cluster-facts.ts";
import { inNamespace, readManifests } from "../../deploy/manifests.ts";
import { granted } from "../../deploy/rights.ts";
import { entry, installation, known, settings, soundFacts } from "../facts.ts";

const text = ({ namespace = "the cluster", group, resource, verb, name = "" }: Right) =>
  `${verb} ${resource}.${group} ${name} in ${namespace}`;

const reported = {
  registries: settings.registries.map((registry) => ({ ...registry, demand: "reported" as const })),
  http: { reports: { tokenReview: {} } },
};

test("doctor asks for just the rights that the manifests grant", async () => {
  const base = await readManifests("base");
  const aliases = (await readManifests("alias-namespace")).map((one) => inNamespace(one, "shop"));
  const onDemand = await readManifests("reported");
  const grants = granted([...base, ...aliases, ...onDemand]).flatMap(({ names, namespace, group, resource, verb }) =>
    (names ?? [undefined]).map((name) =>
      text({
        group,
        resource,
        verb,
        ...(namespace !== undefined && { namespace }),
        ...(name !== undefined && { name }),
      }),
    ),
  );
  const rules = [...settings.aliases, { registry: "vms", in: "mesh-services" }];
  const asked = neededRights({
    ...settings,
    ...reported,
    aliases: rules,
    exposures: [{ api: "gateway", hosts: [] }],
    migration: { allow: [{}], claims: [] },
  }).map(text);
  assert.deepEqual([...new Set(asked)].sort(), [...new Set(grants)].sort());
});

test("doctor asks for just the rights that authorization grants, and says how to get them", async () => {
  const own = { ...settings, http: { authorization: {}, reports: { tokenReview: {} } } };
  const further = neededRights(own).filter(({ group }) => group.startsWith("auth"));
  const roles = (await readManifests("authorization")).filter(({ metadata }) => metadata.name !== "x2istio-reader");
  assert.deepEqual(
    further.map(text),
    granted(roles).map(({ group, resource, verb }) => text({ group, resource, verb })),
  );
  for (const missing of further) {
    const rights = neededRights(own).map((right) => ({ right, isAllowed: right.resource !== missing.resource }));
    const skip = CHECKS.filter((one) => one !== "rights");
    const [problem] = diagnose({ ...soundFacts, rights: known(rights) }, own, known(installation), skip);
    assert.equal(problem?.fix, "kubectl apply -f deploy/kustomize/authorization/rbac-authorization.yaml");
  }
});

const fewer = [
  { name: "nobody may claim a service", change: {}, without: /sidecars|peerauthentications|endpointslices/ },
  { name: "nothing is written", change: { policy: { mode: "dry-run" as const } }, without: /create|patch|delete/ },
  {
    name: "Istio gives the VIPs",
    change: { vips: { ...settings.vips, mode: "istio" as const } },
    without: /(?:get|create|patch) configmaps/,
  },
  { name: "no exposure is a route of the Gateway API", change: {}, without: /(?:get|create|patch|delete) httproutes/ },
  { name: "there are no aliases", change: { aliases: [] }, without: /(?:get|create|patch|delete) services/ },
];
for (const { name, change, without } of fewer)
  test(`doctor asks for fewer rights where ${name}`, () => {
    const migration = { allow: [{}], claims: [] };
    const all = neededRights({ ...settings, migration, exposures: [{ api: "gateway", hosts: [] }] }).map(text);
    const asked = neededRights({ ...settings, ...change }).map(text);
    assert.deepEqual(
      asked.filter((one) => without.test(one)),
      [],
    );
    assert.ok(asked.length > 5 && asked.length < all.length);
  });

const missing = [
  {
    name: "in the cluster",
    resource: "services",
    verb: "watch",
    fix: "kubectl apply -f deploy/kustomize/base/rbac-read.yaml",
  },
  {
    name: "of an alias",
    namespace: "shop",
    resource: "services",
    verb: "create",
    fix: "kubectl apply -n shop -f deploy/kustomize/alias-namespace/rbac-aliases.yaml",
  },
  {
    name: "in the ledger",
    namespace: "mesh-services",
    resource: "configmaps",
    verb: "get",
    fix: "kubectl apply -f deploy/kustomize/base/rbac-ledger.yaml",
  },
  {
    name: "of the Lease",
    namespace: "mesh-services",
    resource: "leases",
    verb: "patch",
    fix: "kubectl apply -f deploy/kustomize/base/rbac-target.yaml",
  },
  {
    name: "to tell the leader",
    namespace: "mesh-services",
    resource: "configmaps",
    verb: "patch",
    only: "x2istio-main-demand",
    fix: "kubectl apply -f deploy/kustomize/reported/rbac-demand.yaml",
  },
  {
    name: "to have tokens judged",
    resource: "tokenreviews",
    verb: "create",
    fix: "kubectl apply -f deploy/kustomize/reported/rbac-reports.yaml",
  },
  {
    name: "of another owner",
    owner: "east",
    namespace: "mesh-services",
    resource: "leases",
    verb: "patch",
    fix: "sed -e s/x2istio-main/x2istio-east/ deploy/kustomize/base/rbac-target.yaml | kubectl apply -f -",
  },
];
for (const { name, resource, verb, fix, namespace, only, owner = "main" } of missing)
  test(`doctor says how to get a right ${name}`, () => {
    const own = { ...settings, ...reported, owner };
    const judged = neededRights(own).map((right) => ({
      right,
      isAllowed: !(
        right.resource === resource &&
        right.verb === verb &&
        right.namespace === namespace &&
        (only === undefined ? right.name === undefined || right.verb === "patch" : right.name === only)
      ),
    }));
    const found = diagnose(
      { ...soundFacts, rights: known(judged) },
      own,
      known(installation),
      CHECKS.filter((one) => one !== "rights"),
    );
    assert.deepEqual(
      found.map((one) => one.fix),
      [fix],
    );
    assert.match(found[0]?.message ?? "", new RegExp(`^${settings.user} may not ${verb} ${resource}`));
  });

test("doctor misses the right to fill entries written by hand only where there are some", () => {
  const judged = neededRights(settings).map((right) => ({
    right,
    isAllowed: !(right.namespace === "shop" && right.resource === "serviceentries"),
  }));
  const skip = CHECKS.filter((one) => one !== "rights");
  const states = [false, true].map((isPremade) => {
    const entries = known([entry("theirs", { namespace: "shop", isOurs: false, isPremade })]);
    return diagnose({ ...soundFacts, rights: known(judged), entries }, settings, known(installation), skip)[0]?.state;
  });
  assert.deepEqual(states, ["fine", "problem"]);
});

test("doctor says that the user who runs it lacks a right, and grants nobody else more", () => {
  const rights = neededRights(settings).map((right) => ({ right, isAllowed: right.verb !== "delete" }));
  const skip = CHECKS.filter((one) => one !== "rights");
  for (const [user, who] of [
    [undefined, "the user who runs doctor"],
    ["jane@example.org", "jane@example.org"],
  ] as const) {
    const found = diagnose({ ...soundFacts, rights: known(rights) }, { ...settings, user }, known(installation), skip);
    assert.ok(found.length > 0);
    for (const { state, message, fix = "" } of found) {
      assert.equal(state, "problem");
      assert.ok(message.startsWith(`${who} may not delete `), message);
      assert.doesNotMatch(fix, /kubectl apply/);
      assert.match(fix, /as an administrator, or .*doctor --as system:serviceaccount:x2istio-system:x2istio/);
    }
  }
});
