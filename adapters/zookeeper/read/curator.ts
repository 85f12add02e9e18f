import { hash } from "node:crypto";
import { ReadError } from "../../../src/errors.ts";
import { shorten } from "../../text.ts";
import type { Tree } from "../client/tree.ts";
import { type Judged, judge, type MappingOptions } from "../mapping/candidate.ts";
import { instanceOf } from "../mapping/instance.ts";
import type { Layout } from "./layout.ts";

const MOST_INSTANCES = 20_000;

/** The tree of Curator's service discovery, as Spring Cloud and Dubbo 3 write it. */
export function curatorLayout(root: string, options: MappingOptions): Layout {
  return {
    root,
    isService: () => true,
    concerns: () => true,
    async read(tree, node, before, isWatched) {
      const path = `${root}/${node}`;
      const listed = await tree.children(path, isWatched);
      if (listed.state === "none") return undefined;
      if (listed.value.length > MOST_INSTANCES)
        throw new ReadError("answer", `has ${listed.value.length} instances, ${MOST_INSTANCES} are allowed`);
      const found = await Promise.all(
        listed.value.toSorted().map(async (id) => ({ id, data: await tree.data(`${path}/${id}`, isWatched) })),
      );
      const there = found.flatMap(({ id, data }) => (data.state === "ok" ? [{ id, ...data }] : [])); // others have just gone
      const digest = hash("sha1", JSON.stringify(there.map(({ id, digest: own }) => [id, own])), "base64");
      if (before?.state === "ok" && before.digest === digest) return before;
      const judged = there.map(({ id, value }): Judged => {
        try {
          return judge(instanceOf(id, value), options);
        } catch (cause) {
          throw new ReadError("answer", `the data of node ${shorten(id)}`, { cause });
        }
      });
      const offers = judged.length === 0 ? new Map() : new Map([[node, judged]]);
      return { state: "ok", digest, offers, notes: [] };
    },
  };
}

/** Interfaces by the applications that have them, as Dubbo 3 tells its consumers; those that several applications have lead to none. */
export async function interfacesOf(tree: Tree, dubboRoot: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const path = `${dubboRoot}/mapping`;
  const listed = await tree.children(path, false);
  const names = listed.state === "ok" ? listed.value.toSorted() : [];
  const applications = new Map<string, string[]>();
  for (let at = 0; at < names.length; at += AT_ONCE) {
    const some = names.slice(at, at + AT_ONCE);
    const found = await Promise.all(some.map((name) => tree.data(`${path}/${name}`, false)));
    for (const [index, data] of found.entries()) {
      const [application, ...others] = data.state === "ok" ? data.value.toString("utf8").split(",") : [];
      if (application === undefined || application === "" || others.length > 0) continue;
      applications.set(application, [...(applications.get(application) ?? []), some[index] ?? ""]);
    }
  }
  return applications;
}

const AT_ONCE = 128;
