import type { PodFact } from "../model/cluster-facts.ts";
import { shellWord } from "./text.ts";

/** `Deployment shop/till`, or the pod itself. */
export function ownerText({ namespace, name, owner }: PodFact): string {
  return owner === undefined ? `pod ${namespace}/${name}` : `${owner.kind} ${namespace}/${owner.name}`;
}

const IN_TEMPLATE = new Set(["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"]);

/** What gives a pod other annotations: a command, where something makes it from a template. */
export function annotate({ namespace, name, owner }: PodFact, annotations: Readonly<Record<string, string>>): string {
  if (owner === undefined || !IN_TEMPLATE.has(owner.kind))
    return `kubectl delete pod -n ${shellWord(namespace)} ${shellWord(name)}, and create it anew with ${JSON.stringify(annotations)}`;
  const body = JSON.stringify({ spec: { template: { metadata: { annotations } } } });
  return `kubectl patch ${owner.kind.toLowerCase()} -n ${shellWord(namespace)} ${shellWord(owner.name)} --type merge -p ${shellWord(body)}`;
}
