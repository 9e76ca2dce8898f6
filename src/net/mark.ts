/**
 * The bit of a packet's mark that asks the rules to refuse it with an answer
 * (chain BARRICATA-REJECT). Others commonly use the low 24 bits (Docker, kube-proxy,
 * Tailscale, wg-quick, Cilium, Calico); a verdict sets this bit and keeps the rest.
 */
export const REJECT_MARK = 0x1000_0000;
