/** Namespaces of Polaris by the layout in the lowest six bits of a modid. */
const LAYOUTS: Readonly<Record<number, string>> = {
  1: "Production",
  2: "Development",
  3: "Pre-release",
  4: "Test",
  5: "Polaris",
  6: "default",
};
/** Module numbers (modid without its layout) from here on were given out by Polaris, which writes the layout into them. */
const FIRST_WITH_LAYOUT = 3_000_001;
const MOST = 0xffffffff;

/**
 * The namespaces in which Polaris looks for an L5 sid, in order; `undefined` when the name is none (`modid:cmdid`, two
 * decimal numbers of 32 bits).
 *
 * @see polarismesh/polaris service/l5_service.go
 */
export function sidNamespaces(name: string): readonly string[] | undefined {
  const [, modid = "", cmdid = ""] = /^(\d{1,10}):(\d{1,10})$/.exec(name) ?? [];
  if (modid === "" || Number(modid) > MOST || Number(cmdid) > MOST) return undefined;
  if (Math.floor(Number(modid) / 64) < FIRST_WITH_LAYOUT) return ["default", "Production"];
  const namespace = LAYOUTS[Number(modid) % 64];
  return namespace === undefined ? [] : [namespace];
}
