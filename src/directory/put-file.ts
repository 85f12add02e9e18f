import { join } from "node:path";
import { replaceFile } from "./atomic.ts";
import { contentHash } from "./file.ts";
import type { DirectoryState } from "./state.ts";

/** What a file write was for. */
export type DirectoryOperation = "create" | "update" | "delete" | "ledger";

/** What the writers need. */
export interface Writer {
  readonly root: string;
  readonly state: DirectoryState;
  /** Bring the state in step with one file. */
  readonly visit: (path: string) => Promise<void>;
  /** Told of each attempt to write a file. */
  readonly onWrite?: ((operation: DirectoryOperation, result: "ok" | "failed") => void) | undefined;
}

/**
 * Write a file as a whole, if it still is as the state has it; with `text` undefined it goes. The state is then in step with it.
 *
 * @returns false when the file is another by now.
 * @throws When it cannot be written.
 */
export async function putFile(
  { root, state, visit, onWrite }: Writer,
  path: string,
  text: string | undefined,
  operation: DirectoryOperation,
): Promise<boolean> {
  const standing = state.files.get(path);
  if (text !== undefined && standing?.hash === contentHash(text)) return true;
  let result: "ok" | "failed" = "failed";
  try {
    const done = await replaceFile(join(root, path), text, standing?.hash);
    result = done ? "ok" : "failed";
    return done;
  } catch (cause) {
    throw new Error(`Cannot write "${join(root, path)}"`, { cause });
  } finally {
    onWrite?.(operation, result);
    await visit(path);
  }
}

/** Two DNS names and an ending: nothing that could lead out of the folder. */
export function isSafePath(path: string): boolean {
  return /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?\/[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\.yaml$/.test(
    path,
  );
}
