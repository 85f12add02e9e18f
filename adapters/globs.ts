/** Which names an operator wants: one of `include`, and none of `exclude`. */
export interface NameGlobs {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

/** Judges names by globs: `*` is any run of characters, `?` any one, everything else is itself. */
export function nameFilter({ include, exclude }: NameGlobs): (name: string) => boolean {
  const [wanted, unwanted] = [include.map(globTest), exclude.map(globTest)];
  return (name) => wanted.some((test) => test(name)) && !unwanted.some((test) => test(name));
}

function globTest(glob: string): (name: string) => boolean {
  const pattern = glob
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replace(/\*+/g, ".*")
    .replaceAll("?", ".");
  const test = new RegExp(`^${pattern}$`, "s");
  return (name) => glob === "*" || test.test(name);
}
