import copy
import operator

import torch
from mobilevd.export.light_lowering import light_lowering


def test_copies_share_weights_inside_only():
    module = torch.nn.Linear(3, 3)
    with light_lowering():
        light = copy.deepcopy(module)
    assert light is not module
    assert light.weight is module.weight
    assert copy.deepcopy(module).weight is not module.weight


def test_a_changed_graph_computes_what_it_says_when_it_is_called():
    class Sum(torch.nn.Module):
        def forward(self, x, y):
            return x + y

    x, y = torch.tensor(3.0), torch.tensor(5.0)
    traced = torch.fx.symbolic_trace(Sum())
    with light_lowering():
        for node in traced.graph.find_nodes(op="call_function", target=operator.add):
            node.target = operator.mul
        traced.recompile()
        assert copy.deepcopy(traced)(x, y) == 15
    assert traced(x, y) == 15
    assert "x * y" in traced.code
    traced.graph.output_node().args = (traced.graph.find_nodes(op="placeholder")[0],)
    traced.recompile()
    assert traced(x, y) == 3
