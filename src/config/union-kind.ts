/** A setting that is true, false or something else: `broker_use_ssl`, `fanout_prefix`. */
import { boolean, type Kind, Refusal, shown } from './kind.ts';

/** `noun` completes "true, false or …". */
export function booleanOr<T>(other: Kind<T>, noun: string): Kind<boolean | T> {
  const word = boolean();
  const rule = `true, false or ${noun}`;
  const otherResolve = other.resolve;
  return {
    rule,
    label: `boolean | ${other.label}`,
    readText: (text) => {
      const read = word.readText(text);
      return read instanceof Refusal ? other.readText(text) : read;
    },
    readValue: (value) => {
      if (typeof value === 'boolean') return value;
      const read = other.readValue(value);
      // The reason of a table says which key is wrong.
      return read instanceof Refusal && (typeof value !== 'object' || value === null)
        ? new Refusal(`must be ${rule}, got ${shown(value)}`)
        : read;
    },
    toToml: (value) => (typeof value === 'boolean' ? String(value) : other.toToml(value)),
    ...(otherResolve === undefined
      ? {}
      : { resolve: (value: boolean | T, folder: string) => (typeof value === 'boolean' ? value : otherResolve(value, folder)) }),
  };
}
