/**
 * The simplest fast writer: `node test/bench/bare-loop.ts KUBECONFIG OBJECTS`, the last a file with a list of manifests. It
 * creates them in order, 16 at a time, and looks at nothing but the status. All texts are made before it starts.
 */
import { readFile } from "node:fs/promises";
import { Pool } from "undici";
import { parse } from "yaml";
import type { Manifest } from "../../src/model/objects.ts";
import { IN_FLIGHT, inFlight, pathOf } from "./in-flight.ts";

interface Kubeconfig {
  readonly clusters: readonly [
    { readonly cluster: { readonly server: string; readonly "certificate-authority": string } },
  ];
  readonly users: readonly [{ readonly user: { readonly token: string } }];
}

const [kubeconfig = "", file = ""] = process.argv.slice(2);
const { clusters, users } = parse(await readFile(kubeconfig, "utf8")) as Kubeconfig;
const manifests = JSON.parse(await readFile(file, "utf8")) as Manifest[];
const requests = manifests.map((manifest) => ({ path: pathOf(manifest), body: JSON.stringify(manifest) }));

const { server, "certificate-authority": caFile } = clusters[0].cluster;
const pool = new Pool(server, {
  connections: IN_FLIGHT,
  allowH2: false,
  connect: { ca: await readFile(caFile, "utf8") },
});
const headers = {
  accept: "application/json",
  "content-type": "application/json",
  authorization: `Bearer ${users[0].user.token}`,
};

await inFlight(requests, async ({ path, body }) => {
  const answer = await pool.request({ method: "POST", path, headers, body });
  await answer.body.dump();
  if (answer.statusCode !== 201) throw new Error(`POST ${path} answered ${answer.statusCode}`);
});
await pool.close();
