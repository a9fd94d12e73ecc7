"""What `bench_training.py` measures: one file per engine, each run in a process of its own.

- setting.py: network, sizes, and the images that every engine gets
- worker.py: the command line that every engine has, its clock and its memory
- keras_networks.py: both networks in Keras 3, to Vesica's definition
- keras_engine.py, plain_torch.py, vesica_engine.py: the engines
- parity.py: the first losses of Vesica and of Keras from the same start
- matrix_rate.py: how fast this machine multiplies matrices
"""
