import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Hold } from "../../../src/model/plan.ts";
import { ensureServers, noServers } from "../../servers/build.ts";
import { kubeServers } from "../../servers/kube.ts";
import { until } from "../../servers/kube-admin.ts";
import { entryOf, MESH, SHOP, servicePath } from "../objects.ts";
import { post } from "../rights.ts";
import { create, suiteTarget } from "../target.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;

suite("kubernetesTarget() reports", { skip }, async () => {
  const { kube, target, open, standing, options } = await suiteTarget();

  test("records a hold once, on the object that stands in the way", async () => {
    const { metadata } = await post(kube, servicePath(SHOP), {
      metadata: { name: "inway" },
      spec: { ports: [{ port: 80 }] },
    });
    const key = `Service/${SHOP}/inway`;
    await until("it is seen", async () => target.standing().foreign.has(key));
    const hold: Hold = {
      reason: "foreign",
      subject: key,
      service: "vms/default/inway",
      registry: "vms",
      message: "a Service of that name exists and is not ours",
      regarding: key,
    };
    const events = async () =>
      (
        await kube.request<{
          items: {
            metadata: { name: string };
            type: string;
            reason: string;
            message: string;
            involvedObject: { uid: string };
          }[];
        }>("GET", `/api/v1/namespaces/${SHOP}/events`)
      ).body.items.filter(({ metadata: { name } }) => name.startsWith("x2istio-")); // the API server writes some too
    await target.report([hold, { ...hold, reason: "brake" }], options);
    await target.report([hold], options);
    await (await open({}, false)).report([hold], options);
    const [event, ...others] = await events();
    assert.equal(others.length, 0);
    assert.equal(event?.type, "Warning");
    assert.equal(event?.reason, "AliasHeld");
    assert.equal(event?.involvedObject.uid, metadata.uid);
    assert.match(event?.message ?? "", /inway.*is not ours/);
  });

  test("tells of a brake on the Lease, and of what was put back on the object", async () => {
    await target.write([create(entryOf("told"))], options);
    const key = `ServiceEntry/${MESH}/told.mesh.internal`;
    const notices = [
      { reason: "BrakeOn", subject: "vms services", message: "brake: vms lists no service any more" },
      { reason: "PutBack", subject: key, message: "someone changed it", regarding: key },
      { reason: "PutBack", subject: "gone", message: "someone changed it", regarding: `ServiceEntry/${MESH}/gone` },
    ];
    await target.report([], options, notices);
    await target.report([], options, notices);
    await (await open({}, false)).report([], options, notices);
    type Told = { reason: string; message: string; involvedObject: { kind: string; name: string; uid?: string } };
    const { body } = await kube.request<{ items: Told[] }>("GET", `/api/v1/namespaces/${MESH}/events`);
    const told = body.items.filter(({ reason }) => reason === "BrakeOn" || reason === "PutBack");
    assert.deepEqual(told.map(({ reason, involvedObject: { kind, name, uid } }) => [reason, kind, name, uid]).sort(), [
      ["BrakeOn", "Lease", "x2istio-east", undefined],
      ["PutBack", "ServiceEntry", "told.mesh.internal", standing(key).uid],
    ]);
  });

  test("does not fail over an Event it may not write", async () => {
    const key = "Service/default/kubernetes";
    const hold: Hold = {
      reason: "name",
      subject: "kubernetes.default",
      service: undefined,
      registry: "vms",
      message: "the name is taken",
      regarding: key,
    };
    const warnings: string[] = [];
    const other = await open(
      { log: { info: () => {}, warn: (_fields: object, message: string) => void warnings.push(message) } as never },
      false,
    );
    await other.report([hold], options);
    await other.report([hold], options);
    assert.deepEqual(warnings, ["an Event cannot be written"]);
  });
});
