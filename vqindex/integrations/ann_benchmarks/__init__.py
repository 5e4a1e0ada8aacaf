"""An algorithm for ann-benchmarks: its runner imports `module.py`, beside a `config.yml`.

    python run.py --local --algorithm vqindex --dataset glove-100-angular \\
        --definitions .../vqindex/integrations

finds it in the installed package; in a fork, config.yml and Dockerfile are copied to
`ann_benchmarks/algorithms/vqindex`.
"""
