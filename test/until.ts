/** Taken before a test mocks the timers of this process. */
const after = setTimeout;
/** Waiting costs no processor time that what is waited for needs. */
const PAUSE_MS = 2;

/** What a busy machine may need for what takes milliseconds. */
export const GENEROUS_MS = 60_000;

/**
 * Wait until `isSo`, also where the test has the timers of this process.
 *
 * @throws After a minute.
 */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (const endMs = performance.now() + GENEROUS_MS; !(await isSo()); await pause())
    if (performance.now() > endMs) throw new Error(`Waited ${GENEROUS_MS} ms in vain until ${isSo}`);
}

function pause(): Promise<void> {
  return new Promise((resolve) => after(resolve, PAUSE_MS));
}
