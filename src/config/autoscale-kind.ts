/** The range of `--autoscale`: the most children, and the least. */
import { type Kind, Refusal, shown } from './kind.ts';

export interface AutoscaleRangeValue {
  readonly max: number;
  readonly min: number;
}

export function autoscaleRange(): Kind<AutoscaleRangeValue> {
  const rule = "'MAX,MIN' or 'MAX', two integers of which the first is the larger and above 0";
  const refusal = (value: unknown): Refusal => new Refusal(`must be ${rule}, got ${shown(value)}`);
  const readText = (text: string): AutoscaleRangeValue | Refusal => {
    const found = /^\s*(\d{1,6})\s*(?:,\s*(\d{1,6})\s*)?$/.exec(text);
    const [max, min] = [Number(found?.[1]), Number(found?.[2] ?? 0)];
    return found === null || max < 1 || min > max ? refusal(text) : { max, min };
  };
  return {
    rule,
    label: 'text',
    readText,
    readValue: (value) => {
      if (typeof value === 'string') return readText(value);
      if (typeof value === 'number') return Number.isSafeInteger(value) ? readText(String(value)) : refusal(value);
      if (typeof value !== 'object' || value === null || !('max' in value)) return refusal(value);
      const read = readText(`${value.max},${'min' in value ? value.min : 0}`);
      return read instanceof Refusal ? refusal(value) : read;
    },
    toToml: ({ max, min }) => JSON.stringify(`${max},${min}`),
  };
}
