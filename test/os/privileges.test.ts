/** Becoming another user: the order of the calls, the proof afterwards, and what is refused. A system of its own stands in for the real one. */
import t from 'tap';
import { becomeUser, type Identity, rootWarning } from '../../src/os/privileges.ts';
import { groupId, groupName, userEntry } from '../../src/os/user-entry.ts';

interface Start {
  readonly uid?: number;
  readonly gid?: number;
  /** Can become root again whatever happens. */
  readonly sticky?: boolean;
}

function system({ uid = 0, gid = 0, sticky = false }: Start = {}): Identity & { readonly calls: string[] } {
  const calls: string[] = [];
  const mayChange = (): void => {
    if (uid !== 0 && !sticky) throw new Error('setuid EPERM');
  };
  return {
    calls,
    getuid: () => uid,
    geteuid: () => uid,
    getgid: () => gid,
    getegid: () => gid,
    setgroups: (groups) => {
      mayChange();
      calls.push(`setgroups ${groups}`);
    },
    initgroups: (user, group) => {
      mayChange();
      calls.push(`initgroups ${user} ${group}`);
    },
    setgid: (to) => {
      mayChange();
      calls.push(`setgid ${to}`);
      gid = to;
    },
    setuid: (to) => {
      mayChange();
      calls.push(`setuid ${to}`);
      uid = to;
    },
  };
}

const from = { userFrom: '--uid', groupFrom: '--gid' };
const daemon = userEntry('daemon');

t.test('knows users and groups', async (t) => {
  t.match(userEntry('root'), { name: 'root', uid: 0, gid: 0, home: /^\// });
  t.same(userEntry('0'), userEntry('root'));
  t.equal(userEntry('no-such-user'), null);
  t.equal(groupId('root'), 0);
  t.equal(groupId('4242'), 4242);
  t.equal(groupId('no-such-group'), null);
  t.equal(groupName(0), 'root');
});

t.test('groups, group, user, in this order', async (t) => {
  const all = system();
  t.same(becomeUser({ user: 'daemon', group: null, ...from }, all), daemon);
  t.same(all.calls, [`initgroups daemon ${daemon?.gid}`, `setgid ${daemon?.gid}`, `setuid ${daemon?.uid}`]);
  const other = system();
  becomeUser({ user: 'daemon', group: '4242', ...from }, other);
  t.same(other.calls, ['initgroups daemon 4242', 'setgid 4242', `setuid ${daemon?.uid}`]);
  const number = system();
  t.equal(becomeUser({ user: '4243', group: '4242', ...from }, number), null, 'a number without an entry');
  t.same(number.calls, ['setgroups 4242', 'setgid 4242', 'setuid 4243']);
  const group = system();
  becomeUser({ user: null, group: '4242', ...from }, group);
  t.same(group.calls, ['setgroups 4242', 'setgid 4242'], 'only the group');
});

t.test('nothing to do', async (t) => {
  const root = system();
  becomeUser({ user: null, group: null, ...from }, root);
  const already = system({ uid: daemon?.uid ?? 1, gid: daemon?.gid ?? 1 });
  t.equal(becomeUser({ user: 'daemon', group: null, ...from }, already), null, 'the second time, after a restart in place');
  t.same([...root.calls, ...already.calls], []);
});

t.test('refuses', async (t) => {
  const refusal = (wanted: { user: string | null; group: string | null }, start: Start = {}): void => {
    becomeUser({ ...wanted, ...from }, system(start));
  };
  t.throws(() => refusal({ user: 'no-such-user', group: null }), { code: 'CONFIG_INVALID', message: /got no-such-user \(--uid\)/ });
  t.throws(() => refusal({ user: 'daemon', group: 'no-such-group' }), { code: 'CONFIG_INVALID', message: /got no-such-group \(--gid\)/ });
  t.throws(() => refusal({ user: '4243', group: null }), { code: 'CONFIG_INVALID', message: /unless worker.gid is set/ });
  t.throws(() => refusal({ user: 'daemon', group: null }, { uid: 4243, gid: 1 }), { code: 'PRIVILEGES_REFUSED', message: /only root/ });
  t.throws(() => refusal({ user: 'daemon', group: null }, { sticky: true }), { code: 'PRIVILEGES_REFUSED', message: /root again/ });
});

t.test('warns root', async (t) => {
  t.match(rootWarning(system()), /rights of root.*--uid.*uid=0/);
  t.equal(rootWarning(system({ uid: 4243, gid: 4242 })), null);
  const sudo = groupId('sudo');
  if (sudo !== null) t.match(rootWarning(system({ uid: 4243, gid: sudo })), /group sudo/);
});
