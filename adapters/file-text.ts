import { readFile, stat } from "node:fs/promises";

/** The text of a file that may be exchanged at any time, such as a mounted Secret. */
export interface FileText {
  /** Differs when the file was written or exchanged. */
  readonly stamp: string;
  readonly text: string;
}

/** The text of a file as it stands now: `before` again while the file is the same. @throws The system's error. */
export async function fileText(path: string, before: FileText | undefined): Promise<FileText> {
  const { mtimeMs, size, ino } = await stat(path);
  const stamp = `${mtimeMs} ${size} ${ino}`;
  return before?.stamp === stamp ? before : { stamp, text: await readFile(path, "utf8") };
}
