import { type Check, counted, type Finding, shellWord, whenKnown } from "./finding.ts";

const check = "names";
/** The rest is counted. */
const MOST_SHOWN = 10;

/** A name that is somebody else's, or is also Kubernetes' `service.namespace`, is withheld; whoever uses it should know. */
export const names: Check = (_facts, { file }, estate) =>
  whenKnown(check, { estate }, (known): readonly Finding[] => {
    const { clashes, unread, names: all } = known.estate;
    const config = `--config ${shellWord(file)}`;
    const more = clashes.length - MOST_SHOWN;
    const found: readonly Finding[] = [
      ...clashes.slice(0, MOST_SHOWN).map(
        ({ name, message }): Finding => ({
          check,
          state: "problem",
          message,
          mend: `x2istio explain ${shellWord(name)} ${config}, then take the name from one of the two`,
        }),
      ),
      ...(more > 0
        ? [
            {
              check,
              state: "problem",
              message: `${counted(more, "further name")} ${more === 1 ? "clashes" : "clash"}`,
              mend: `x2istio plan ${config}`,
            } as const,
          ]
        : []),
      ...unread.map((message): Finding => ({ check, state: "unchecked", message: `could not be checked: ${message}` })),
    ];
    if (found.length > 0) return found;
    return [{ check, state: "fine", message: `none of ${counted(all.length, "name")} is anybody else's` }];
  });
