import t from 'tap';
import { chordMemberHead, decodeChordMember, encodeChordMember, reprException } from '../../src/protocol/chord-member.ts';
import { loadVectors } from './vectors.ts';

interface StoredKeys {
  readonly name: string;
  readonly keys?: readonly { readonly key: string; readonly type: string; readonly members?: readonly (readonly [string, number])[] }[];
}

t.test('members that Python wrote', async (t) => {
  for (const file of ['results-redis.json', 'results-redis-5.6.3.json']) {
    const vectors = loadVectors(t, file) as { readonly results: readonly StoredKeys[] } | null;
    if (vectors === null) return;
    const members = vectors.results.flatMap(({ keys }) => keys ?? []).flatMap(({ members }) => members ?? []);
    t.ok(members.length >= 2, file);
    for (const [text] of members) {
      const member = decodeChordMember(text);
      t.equal(encodeChordMember(member), text, 'written as Python does');
      t.ok(text.startsWith(chordMemberHead(member.taskId)));
      const [version, taskId, state, result] = JSON.parse(text);
      t.strictSame([version, member.taskId, member.state, JSON.parse(member.resultJson)], [1, taskId, state, result]);
    }
  }
});

t.test('what is not a member', async (t) => {
  for (const text of ['', '{}', '[1]', '[1, 2, 3, 4]', '[1, "a", "SUCCESS"]', 'no'])
    t.throws(() => decodeChordMember(text), { code: 'MESSAGE_UNDECODABLE' }, text);
});

t.test('an exception as Python prints it', async (t) => {
  const repr = (exc_type: string, ...exc_message: unknown[]) => reprException(JSON.stringify({ exc_type, exc_message, exc_module: 'm' }));
  t.equal(repr('ValueError', 'boom'), "ValueError('boom')");
  t.equal(repr('ValueError'), 'ValueError()');
  t.equal(repr('Outer.Inner', 'a', 1, null), "Inner('a', 1, None)");
  t.equal(repr('E', "can't"), `E("can't")`);
  t.equal(repr('E', `"can't"\n`), `E('"can\\'t"\\n')`);
  t.equal(reprException('{"exc_type":"E","exc_message":"text"}'), "E('text')");
  t.equal(reprException('"text"'), '"text"', 'no exception document');
});
