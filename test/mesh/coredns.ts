import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startChild } from "../servers/child.ts";
import { until } from "../servers/kube-admin.ts";
import type { StartContext } from "./istiod.ts";

/** Port of the server for example.net. */
export const OTHERS = 5399;

const OURS = join(import.meta.dirname, "../../deploy/coredns/mesh.Corefile");

/**
 * Start the cluster's DNS: names of Services from the API server, and beside them the block for x2istio's zones that
 * deploy/coredns has, with x2istio at 127.0.0.1:`port`. Names in example.net are those of a server at 127.0.0.1:5399, if a test has one; no other name
 * exists.
 */
export async function startCoreDns({ binary, dir, kube, onChild }: StartContext, port: number): Promise<void> {
  const file = join(dir, "Corefile");
  const ours = await readFile(OURS, "utf8");
  await writeFile(
    file,
    `
cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {
    errors
    ready 127.0.0.1:8181
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig ${kube.kubeconfigPath}
        pods insecure
        ttl 1
    }
}
example.net:53 {
    errors
    forward . 127.0.0.1:${OTHERS} {
        max_fails 0
    }
}
.:53 {
    errors
    template ANY ANY {
        rcode NXDOMAIN
    }
}
${ours.replace("forward . 10.96.0.53", `forward . 127.0.0.1:${port}`)}`,
  );
  const child = await startChild(binary, ["-conf", file], join(dir, "coredns.out"));
  onChild(child, "CoreDNS");
  await until(
    "CoreDNS is ready",
    async () => !child.isRunning() || (await fetch("http://127.0.0.1:8181/ready")).status === 200,
    60_000,
  ).catch((cause) => {
    throw new Error(`Cannot start CoreDNS:\n${child.logTail()}`, { cause });
  });
  if (!child.isRunning()) throw new Error(`Cannot start CoreDNS as it ended:\n${child.logTail()}`);
}
