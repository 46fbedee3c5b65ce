import t from 'tap';
import { formatIsoTime, parseIsoTime } from '../../src/protocol/iso-time.ts';

const base = Date.UTC(2030, 0, 2, 3, 4, 5);

t.test('every form', async (t) => {
  const forms: [string, number][] = [
    ['2030-01-02T03:04:05.678901+00:00', base + 678.901],
    ['2030-01-02T03:04:05+00:00', base],
    ['2030-01-02T03:04:05', base],
    ['2030-01-02 03:04:05', base],
    ['2030-01-02T03:04:05Z', base],
    ['2030-01-02T03:04:05z', base],
    ['2030-01-02T03:04:05.678Z', base + 678],
    ['2030-01-02T03:04:05.5Z', base + 500],
    ['2030-01-02T03:04:05,5Z', base + 500],
    ['2030-01-02T03:04:05.1234567Z', base + 123.456],
    ['2030-01-02T08:34:05+05:30', base],
    ['2030-01-02T08:34:05+0530', base],
    ['2030-01-02T00:04:05-03', base],
    ['2030-01-02T00:04:05-03:00', base],
    ['20300102T030405Z', base],
    ['2030-01-02T03:04', base - 5000],
    ['2030-01-02', Date.UTC(2030, 0, 2)],
    ['2028-02-29', Date.UTC(2028, 1, 29)],
    ['0001-01-01T00:00:00', Date.parse('0001-01-01T00:00:00Z')],
    ['9999-12-31T23:59:59.999999+00:00', Date.UTC(9999, 11, 31, 23, 59, 59) + 999.999],
  ];
  for (const [text, unixMs] of forms) t.equal(parseIsoTime(text), unixMs, text);
});

t.test('naive local time', async (t) => {
  t.equal(parseIsoTime('2030-07-02T03:04:05.5', { utc: false }), new Date(2030, 6, 2, 3, 4, 5, 500).getTime());
  t.equal(parseIsoTime('2030-07-02T03:04:05Z', { utc: false }), Date.UTC(2030, 6, 2, 3, 4, 5), 'an offset wins');
});

t.test('not a time', async (t) => {
  for (const text of [
    '',
    'garbage',
    '2030',
    '2030-13-01',
    '2030-02-29',
    '2030-01-02T24:00:00',
    '2030-01-02T03:60:00',
    '2030-01-02T03:04:05+25:00',
    '0000-01-01',
    '1900-02-29',
    '2030-01-02T03:04:05 UTC',
    '12030-01-02',
  ]) {
    t.equal(parseIsoTime(text), null, text);
  }
});

t.test('writing', async (t) => {
  t.equal(formatIsoTime(base + 678), '2030-01-02T03:04:05.678000+00:00');
  t.equal(formatIsoTime(base + 678.901), '2030-01-02T03:04:05.678901+00:00');
  t.equal(formatIsoTime(base), '2030-01-02T03:04:05.000000+00:00');
  t.equal(formatIsoTime(base + 0.9999), '2030-01-02T03:04:05.001000+00:00', 'rounds up to the next millisecond');
  t.equal(formatIsoTime(Date.parse('0099-01-01T00:00:00Z')), '0099-01-01T00:00:00.000000+00:00');
  t.throws(() => formatIsoTime(Number.NaN), { name: 'RangeError' });
  t.throws(() => formatIsoTime(8.64e15), { name: 'RangeError' });
  for (const text of ['2026-11-20T08:20:47.517072+00:00', '1969-12-31T23:59:59.999999+00:00']) {
    t.equal(formatIsoTime(parseIsoTime(text) as number), text, 'microseconds survive the round trip');
  }
});
