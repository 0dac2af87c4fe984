import t from 'tap';
import { ruleForm } from '../../../../src/kernel/xtables/ruleForm.js';

/** As we write them, and as iptables-save prints them. */
const SAME: readonly (readonly [string, string])[] = [
  [
    '-m comment --comment "shop/cart:http cluster IP" -m tcp -p tcp -d 10.0.0.1 --dport 80 -j KUBE-SVC-A',
    '-d 10.0.0.1/32 -p tcp -m comment --comment "shop/cart:http cluster IP" -m tcp --dport 80 -j KUBE-SVC-A',
  ],
  ['-m mark ! --mark 0x00004000/0x00004000 -j RETURN', '-m mark ! --mark 0x4000/0x4000 -j RETURN'],
  ['-j MARK --xor-mark 0x00004000', '-j MARK --set-xmark 0x4000/0x0'],
  ['-j MARK --or-mark 0x00004000', '-j MARK --set-xmark 0x4000/0x4000'],
  ['-p tcp -j REJECT', '-p tcp -j REJECT --reject-with icmp-port-unreachable'],
  [
    '-m statistic --mode random --probability 0.3333333333 -j KUBE-SEP-A',
    '-m statistic --mode random --probability 0.33333333349 -j KUBE-SEP-A',
  ],
  [
    '-m recent --name KUBE-SEP-A --rcheck --seconds 10800 --reap -j KUBE-SEP-A',
    '-m recent --rcheck --seconds 10800 --reap --name KUBE-SEP-A --mask 255.255.255.255 --rsource -j KUBE-SEP-A',
  ],
  ['-m comment --comment "hash:ip \'x\'" -j A', '-m comment --comment "hash:ip \\\'x\\\'" -j A'],
  ['-m comment --comment shop/cart -j A', '-m comment --comment "shop/cart" -j A'],
  [
    '-m set --match-set KUBE-CLUSTER-IP dst,dst -m comment --comment "x y" -j A',
    '-m comment --comment "x y" -m set --match-set KUBE-CLUSTER-IP dst,dst -j A',
  ],
];

/** Rules of which the one is not the other. */
const DIFFERENT: readonly (readonly [string, string])[] = [
  ['-d 10.0.0.1 -j A', '-d 10.0.0.1/31 -j A'],
  ['! -s 10.0.0.0/8 -j A', '-s 10.0.0.0/8 -j A'],
  ['-p tcp -j REJECT', '-p tcp -j REJECT --reject-with tcp-reset'],
  ['-p tcp -j REJECT', '-p tcp -j DROP'],
  ['-j MARK --or-mark 0x4000', '-j MARK --xor-mark 0x4000'],
  ['-m statistic --mode random --probability 0.3333', '-m statistic --mode random --probability 0.3334'],
  ['-m set --match-set A dst,dst -j X', '-m set --match-set A src,dst -j X'],
  ['-m recent --name A --set -j X', '-m recent --name A --rcheck -j X'],
];

t.test('spellings of one rule have one form', async (t) => {
  for (const [a, b] of SAME) t.equal(ruleForm(a), ruleForm(b), a);
  for (const [a, b] of DIFFERENT) t.not(ruleForm(a), ruleForm(b), `${a} is not ${b}`);
});

t.test('texts that are no rules have a form, too', async (t) => {
  for (const text of ['', '!', '-m', '--match-set', '"', '-d', '--mark x/y'])
    t.type(ruleForm(text), 'string');
});
