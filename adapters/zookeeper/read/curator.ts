import { hash } from "node:crypto";
import { each } from "../../../src/async/each.ts";
import { ReadError } from "../../../src/errors.ts";
import { answerBudget } from "../../answer-body.ts";
import { shorten } from "../../text.ts";
import type { Part } from "../catalog/parts.ts";
import type { Node, Tree } from "../client/tree.ts";
import { type Judged, judge, type MappingOptions } from "../mapping/candidate.ts";
import { instanceOf } from "../mapping/instance.ts";
import type { Layout } from "./layout.ts";

const MOST_INSTANCES = 20_000;
const AT_ONCE = 128;

/** The tree of Curator's service discovery, as Spring Cloud and Dubbo 3 write it. */
export function curatorLayout(root: string, options: MappingOptions): Layout {
  const budget = answerBudget();
  return {
    root,
    isService: () => true,
    concerns: () => true,
    async read(tree, node, before, isWatched) {
      const listed = await tree.children(`${root}/${node}`, isWatched);
      if (listed.state === "none") return undefined;
      if (listed.value.length > MOST_INSTANCES)
        throw new ReadError("answer", `has ${listed.value.length} instances, ${MOST_INSTANCES} are allowed`);
      const found = new Map<string, Extract<Node<Buffer>, { readonly state: "ok" }>>();
      let taken = 0;
      try {
        await each(listed.value, AT_ONCE, async (id) => {
          const data = await tree.data(`${root}/${node}/${id}`, isWatched);
          if (data.state === "none") return; // it has just gone
          budget.take(data.value.length);
          taken += data.value.length;
          found.set(id, data);
        });
        return partOf(node, found, before, options);
      } finally {
        budget.give(taken);
      }
    },
  };
}

function partOf(
  node: string,
  found: ReadonlyMap<string, { readonly value: Buffer; readonly digest: string }>,
  before: Part | undefined,
  options: MappingOptions,
): Part {
  const there = [...found].sort(([a], [b]) => (a < b ? -1 : 1));
  const digest = hash("sha1", JSON.stringify(there.map(([id, { digest: own }]) => [id, own])), "base64");
  if (before?.state === "ok" && before.digest === digest) return before;
  const judged = there.map(([id, { value }]): Judged => {
    try {
      return judge(instanceOf(id, value), options);
    } catch (cause) {
      throw new ReadError("answer", `the data of node ${shorten(id)}`, { cause });
    }
  });
  const offers = judged.length === 0 ? new Map<string, readonly Judged[]>() : new Map([[node, judged]]);
  return { state: "ok", digest, offers, registrations: judged.length, notes: [] };
}

/** Interfaces by the applications that have them, as Dubbo 3 tells its consumers; those that several applications have lead to none. */
export async function interfacesOf(tree: Tree, dubboRoot: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const path = `${dubboRoot}/mapping`;
  const listed = await tree.children(path, false);
  const names = listed.state === "ok" ? listed.value.toSorted() : [];
  const applications = new Map<string, string[]>();
  const found = new Map<string, string>();
  await each(names, AT_ONCE, async (name) => {
    const data = await tree.data(`${path}/${name}`, false);
    if (data.state === "ok") found.set(name, data.value.toString("utf8"));
  });
  for (const name of names) {
    const [application, ...others] = found.get(name)?.split(",") ?? [];
    if (application === undefined || application === "" || others.length > 0) continue;
    applications.set(application, [...(applications.get(application) ?? []), name]);
  }
  return applications;
}
