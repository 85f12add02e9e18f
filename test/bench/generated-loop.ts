/**
 * The same loop as bare-loop.ts with the generated API classes of @kubernetes/client-node, to know what going round them
 * saves: `node test/bench/generated-loop.ts KUBECONFIG OBJECTS`.
 */
import { readFile } from "node:fs/promises";
import { CoreV1Api, CustomObjectsApi, KubeConfig } from "@kubernetes/client-node";
import type { Manifest } from "../../src/model/objects.ts";
import { inFlight } from "./in-flight.ts";

const [kubeconfig = "", file = ""] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromFile(kubeconfig);
const manifests = JSON.parse(await readFile(file, "utf8")) as Manifest[];
const core = config.makeApiClient(CoreV1Api);
const custom = config.makeApiClient(CustomObjectsApi);

await inFlight(manifests, async (manifest) => {
  const { apiVersion, kind, metadata } = manifest;
  const { namespace } = metadata;
  if (kind === "Service") {
    await core.createNamespacedService({ namespace, body: manifest as object });
    return;
  }
  const [group = "", version = ""] = apiVersion.split("/");
  const plural = kind === "ServiceEntry" ? "serviceentries" : "virtualservices";
  await custom.createNamespacedCustomObject({ group, version, namespace, plural, body: manifest });
});
