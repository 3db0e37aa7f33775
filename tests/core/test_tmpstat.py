import collections, tests.core.test_machine as m
C=collections.Counter(); N=[0,0]
orig=m.Machine.tell
def tell(self,*said):
    out=orig(self,*said)
    for (c,b,k),o in zip(said,out): C[type(c).__name__, getattr(o,'code','ok') and str(getattr(o,'code','ok'))]+=1
    N[1]+=1
    return out
m.Machine.tell=tell
oi=m.Machine.__init__
def init(self): N[0]+=1; oi(self)
m.Machine.__init__=init
def test_it(tmp_path, postgres_server):
    import os
    s=m.FAST
    if os.environ.get("N"): s=m.settings(m.FAST,max_examples=int(os.environ["N"]),derandomize=False, stateful_step_count=int(os.environ.get("S","40")))
    try: m.run(tmp_path, postgres_server, with_settings=s)
    finally:
        print(N); 
        for k,v in sorted(C.items()): print(k,v)
