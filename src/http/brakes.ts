import { describeError } from "../errors.ts";
import { type Reply, text } from "./reply.ts";
import type { RequestDetails } from "./request-details.ts";

/** Names the registry once more: a page in someone's browser cannot send it to another site. */
export const CONFIRM_HEADER = "x2istio-confirm";

const PATH = /^\/api\/brakes\/([^/]+)\/release$/;

/** Where the brake of a registry is released: `/api/brakes/dc1/release`. */
export function releasePath(registry: string): string {
  return `/api/brakes/${encodeURIComponent(registry)}/release`;
}

/** The registry that a path is about; `undefined` when it is another path. */
export function registryToRelease(path: string): string | undefined {
  const [, text] = PATH.exec(path) ?? [];
  try {
    return text === undefined ? undefined : decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/**
 * Release a registry's brake: for who is on the same machine or in the same pod, as there is no authentication.
 *
 * @param release rejects when the brake cannot be released
 */
export async function releaseBrake(
  registry: string,
  method: string | undefined,
  release: ((registry: string) => Promise<void>) | undefined,
  { isLocal = false, confirm }: RequestDetails,
): Promise<Reply> {
  if (method !== "POST") return { ...text(405, "Only POST is answered."), allow: "POST" };
  if (!isLocal)
    return text(403, "A brake can be released only from the same machine or from within the pod, and not by a proxy.");
  if (confirm !== registry) return text(400, `The header ${CONFIRM_HEADER} must name the registry once more.`);
  if (release === undefined) return text(404, "There is no brake here.");
  try {
    await release(registry);
  } catch (error) {
    return text(409, describeError(error));
  }
  return text(202, `The next pass applies what the brake of ${registry} holds.`);
}
