import { describeError } from "../errors.ts";
import { type Reply, text } from "./reply.ts";
import type { RequestDetails } from "./request-details.ts";

/** Names the registry once more: a page in someone's browser cannot send it to another site. */
export const CONFIRM_HEADER = "x2istio-confirm";

/** What a process can be asked for about a registry: to release its brake, or to delete what it left behind. */
export type Ask = "release" | "prune";

const FORMS: Readonly<
  Record<
    Ask,
    {
      readonly path: RegExp;
      readonly under: string;
      readonly what: string;
      readonly done: (registry: string) => string;
    }
  >
> = {
  release: {
    path: /^\/api\/brakes\/([^/]+)\/release$/,
    under: "brakes",
    what: "A brake can be released",
    done: (registry) => `The next pass applies what the brake of ${registry} holds.`,
  },
  prune: {
    path: /^\/api\/registries\/([^/]+)\/prune$/,
    under: "registries",
    what: "A registry can be pruned",
    done: (registry) => `The next pass deletes what stands of ${registry}.`,
  },
};

/** Where it is asked for: `/api/brakes/dc1/release`, `/api/registries/dc1/prune`. */
export function askPath(ask: Ask, registry: string): string {
  return `/api/${FORMS[ask].under}/${encodeURIComponent(registry)}/${ask}`;
}

/** What a path asks for; `undefined` when it is another path. */
export function askedBy(path: string): { readonly ask: Ask; readonly registry: string } | undefined {
  for (const ask of ["release", "prune"] as const) {
    const [, name] = FORMS[ask].path.exec(path) ?? [];
    try {
      if (name !== undefined) return { ask, registry: decodeURIComponent(name) };
    } catch {
      return undefined;
    }
  }
  return undefined;
}

/**
 * Do what was asked for: for who is on the same machine or in the same pod, as there is no authentication.
 *
 * @param obey rejects when it cannot be done
 */
export async function answerAsk(
  { ask, registry }: { readonly ask: Ask; readonly registry: string },
  method: string | undefined,
  obey: ((registry: string) => Promise<void>) | undefined,
  { isLocal = false, confirm }: RequestDetails,
): Promise<Reply> {
  const { what, done } = FORMS[ask];
  if (method !== "POST") return { ...text(405, "Only POST is answered."), allow: "POST" };
  if (!isLocal) return text(403, `${what} only from the same machine or from within the pod, and not by a proxy.`);
  if (confirm !== registry) return text(400, `The header ${CONFIRM_HEADER} must name the registry once more.`);
  if (obey === undefined) return text(404, "Nothing is written here.");
  try {
    await obey(registry);
  } catch (error) {
    return text(409, describeError(error));
  }
  return text(202, done(registry));
}
